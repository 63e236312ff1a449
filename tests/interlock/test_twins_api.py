"""What the standard library's twins have and ours cannot: a TypeError says why."""

import asyncio
import multiprocessing
import threading

import pytest

import interlock
import interlock.aio


class LockLike:
    """Has what `threading.Condition` asks of a lock, and a repr of two lines."""

    def acquire(self, blocking=True, timeout=-1):
        """Always."""
        return True

    def release(self):
        """Do nothing."""

    def __enter__(self):
        return True

    def __exit__(self, *_):
        pass

    def __repr__(self):
        return "<a lock\nof mine>"


FOREIGN = {
    "threading.Lock": threading.Lock,
    "threading.RLock": threading.RLock,
    "threading.Condition": threading.Condition,
    "multiprocessing.Lock": multiprocessing.Lock,
    "asyncio.Lock": asyncio.Lock,
    "of a user": LockLike,
    "interlock.Semaphore": lambda: interlock.Semaphore(1),
    "interlock.RWLock": lambda: interlock.RWLock().writer,
    "a name": lambda: "report",
    "a class": lambda: interlock.Lock,
}


def described(call):
    with pytest.raises(TypeError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("foreign", FOREIGN.values(), ids=FOREIGN)
def test_foreign_lock_is_refused_with_the_reason(foreign):
    """What is allowed, what came, and why Redis has to know the lock."""
    lock = foreign()
    for made in (interlock.Condition, interlock.aio.Condition):
        text = described(lambda made=made: made(lock))
        assert text.startswith("lock must be None, an interlock.")
        assert text.endswith("to wait is to release the lock and to queue, in one step in Redis, and only these can")
    for made in (interlock.Value, interlock.Array, interlock.aio.Value, interlock.aio.Array):
        text = described(lambda made=made: made("i", 1, lock=lock))
        assert text.startswith("lock must be True, ")
        assert "stored with its release, in one step in Redis" in text


def test_lock_for_threads_is_refused_by_coroutines_and_the_other_way_round():
    assert "not <interlock.Lock" in described(lambda: interlock.aio.Condition(interlock.Lock()))
    assert "not <interlock.aio.Lock" in described(lambda: interlock.Condition(interlock.aio.Lock()))


def test_get_obj_says_why_there_is_none():
    for made in (interlock.Value("i", 0), interlock.Array("i", 3), interlock.Value("d"), interlock.aio.Value("i", 0)):
        text = described(made.get_obj)
        assert "kept in Redis, not in shared memory" in text
        assert "under get_lock()" in text
    assert not hasattr(interlock.RawValue("i", 0), "get_obj"), "nor has the twin's"
