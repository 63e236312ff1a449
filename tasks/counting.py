"""Shared state: many small updates of one counter, in three ways. Queue `cpu`: each task runs in a process of its own.

The tutorial's programs about race conditions, locks and `multiprocessing.Value`.
"""

from typing import Any

from interlock import Lock, RawValue, RLock, Value
from tasks.celery_app import app, checks
from tasks.celery_app.base import Task
from tasks.celery_app.message import id_of_call
from tasks.support.output import place

DONE_SECONDS = 86_400.0  # how long Redis remembers what a task has done: longer than any message waits


def _check_raw(shared: RawValue, times: int) -> None:
    checks.instance("shared", shared, RawValue)
    checks.whole_number("times", times, 1, checks.TIMES_MAX)


def _check_value(shared: Value, times: int) -> None:
    checks.instance("shared", shared, Value)
    checks.whole_number("times", times, 1, checks.TIMES_MAX)


def _check_locked(shared: Value, lock: Lock, times: int) -> None:
    _check_value(shared, times)
    checks.instance("lock", lock, Lock)
    if checks.LATER not in (shared, lock) and shared.get_lock().name != lock.name:
        raise ValueError("lock must be the one that guards shared: Value(..., lock=lock)")


def _update_unlocked(shared: RawValue, step: int, times: int) -> dict[str, Any]:
    """Read, add, write back, as `shared.value += step` does, and count the writes that replaced another's update."""
    overwrote = 0
    for _ in range(times):
        read = shared.value
        overwrote += shared.exchange(read + step) != read
    return {**place(), "overwrote": overwrote}


@app.task(queue="cpu", check=_check_raw)
def increment_unlocked(shared: RawValue, times: int = 100_000) -> dict[str, Any]:
    """Add 1 `times` times without a lock, and count how often that overwrote another task's update."""
    return _update_unlocked(shared, 1, times)


@app.task(queue="cpu", check=_check_raw)
def decrement_unlocked(shared: RawValue, times: int = 100_000) -> dict[str, Any]:
    """Subtract 1 `times` times without a lock, and count how often that overwrote another task's update."""
    return _update_unlocked(shared, -1, times)


def done_by(id: str | None, lock: Lock | RLock) -> Value:
    """Return the count of what the task with this id has done, stored under a lock; without an id, that of this call.

    A task has no id when a program calls it as a function: then each call counts for itself.
    """
    return Value("q", 0, name=f"{id} done" if id else None, lock=lock, ttl=DONE_SECONDS)


def update_exactly(shared: Value, lock: Lock | RLock, step: int, times: int, id: str | None) -> None:
    """Add the step `times` times, each under the lock, and no more than that for one id.

    The task may run again, or twice at once, under one id. A second value under the same lock says how many updates are
    done: one script stores both values, or neither. Each critical section reads it, so it does not matter which run
    made the updates before, nor whether that run still goes on. The second value outlives the task, because a message
    may be delivered again after the task has ended.
    """
    done = done_by(id, lock)
    while True:
        with lock:
            if done.value >= times:
                return
            shared.value += step
            done.value += 1


@app.task(bind=True, queue="cpu", check=_check_locked)
def increment_with_lock(self: Task, shared: Value, lock: Lock, times: int = 1_000_000) -> dict[str, Any]:
    """Add 1 `times` times, each under the lock: exactly `times`, however often it is delivered."""
    update_exactly(shared, lock, 1, times, id_of_call(self, shared.name, times))
    return place()


@app.task(bind=True, queue="cpu", check=_check_locked)
def decrement_with_lock(self: Task, shared: Value, lock: Lock, times: int = 1_000_000) -> dict[str, Any]:
    """Subtract 1 `times` times, each under the lock: exactly `times`, however often it is delivered."""
    update_exactly(shared, lock, -1, times, id_of_call(self, shared.name, times))
    return place()


@app.task(bind=True, queue="cpu", check=_check_value)
def increment_value(self: Task, shared: Value, times: int = 100_000) -> dict[str, Any]:
    """Add 1 `times` times, each under the value's own lock: exactly `times`, however often it is delivered."""
    update_exactly(shared, shared.get_lock(), 1, times, id_of_call(self, shared.name, times))
    return place()


@app.task(bind=True, queue="cpu", check=_check_value)
def decrement_value(self: Task, shared: Value, times: int = 100_000) -> dict[str, Any]:
    """Subtract 1 `times` times, each under the value's own lock: exactly `times`, however often it is delivered."""
    update_exactly(shared, shared.get_lock(), -1, times, id_of_call(self, shared.name, times))
    return place()
