"""A bounded buffer that some tasks fill and others empty: the textbook's use of a Condition.

The buffer is a ring of slots and two counts, guarded by the condition's lock. Producers run on queue `io` and consumers
on queue `cpu`. So they run in different processes, and a producer never takes the pool slot that a consumer needs.
"""

import time
from typing import Any

from interlock import Array, Condition, Value
from tasks.celery_app import app, checks
from tasks.support.output import place, say
from tasks.support.patience import PATIENCE, waited_in_vain

ITEMS_MAX = 10_000


def _check(changed: Condition, slots: Array, put: Value, taken: Value) -> None:
    checks.instance("changed", changed, Condition)
    checks.instance("slots", slots, Array)
    checks.instance("put", put, Value)
    checks.instance("taken", taken, Value)
    if checks.LATER in (changed, slots, put, taken):
        return
    locks = {changed.get_lock().name, *(each.get_lock().name for each in (slots, put, taken))}
    if len(locks) > 1:
        raise ValueError("slots, put and taken must be guarded by the lock of changed: Condition(lock), lock=lock")
    if not len(slots):
        raise ValueError("slots must be an interlock.Array of 1 element or more, not of 0")


def _check_produce(changed: Condition, slots: Array, put: Value, taken: Value, first: int, items: int) -> None:
    _check(changed, slots, put, taken)
    checks.whole_number("first", first, 0, 1_000_000_000)
    checks.whole_number("items", items, 1, ITEMS_MAX)


def _check_consume(changed: Condition, slots: Array, put: Value, taken: Value, items: int, pause: float) -> None:
    _check(changed, slots, put, taken)
    checks.whole_number("items", items, 1, ITEMS_MAX)
    checks.pause_seconds(pause)


@app.task(queue="io", check=_check_produce)
def produce(changed: Condition, slots: Array, put: Value, taken: Value, first: int, items: int) -> dict[str, Any]:
    """Put `items` numbers, from `first` on, each when the buffer has room.

    Returns where the task ran, and the largest number of items that the buffer ever held.
    """
    most = 0
    for item in range(first, first + items):
        with changed:
            if not changed.wait_for(lambda: put.value - taken.value < len(slots), timeout=PATIENCE):
                raise waited_in_vain("for room in the buffer: no consumer took anything", "cpu")
            slots[put.value % len(slots)] = item
            put.value += 1
            most = max(most, put.value - taken.value)
            changed.notify_all()
    say(f"Produced {first} to {first + items - 1}.")
    return {**place(), "most": most}


@app.task(queue="cpu", check=_check_consume)
def consume(
    changed: Condition, slots: Array, put: Value, taken: Value, items: int, pause: float = 0.0
) -> dict[str, Any]:
    """Take `items` items, each when the buffer holds one, and pause for some seconds after each.

    Returns where the task ran, and the items.
    """
    got = []
    for _ in range(items):
        with changed:
            if not changed.wait_for(lambda: taken.value < put.value, timeout=PATIENCE):
                raise waited_in_vain("for an item in the buffer: no producer put one", "io")
            got.append(slots[taken.value % len(slots)])
            taken.value += 1
            changed.notify_all()
        time.sleep(pause)
    say(f"Consumed {len(got)} items.")
    return {**place(), "items": got}
