"""Waits that another thread ends, as a task queue does for a task that is revoked."""

import threading

import pytest
from peers import wait_until

import interlock
from interlock import WaitEndedError, endable


class Waiter:
    """A thread that makes a call which waits, and can be ended."""

    def __init__(self, call):
        self.outcome = None
        self._call, self._ready = call, threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._ready.wait(10)

    def _run(self):
        with endable() as self.ending:
            self._ready.set()
            try:
                self.outcome = self._call()
            except BaseException as error:
                self.outcome = error

    def joined(self):
        self._thread.join(10)
        assert not self._thread.is_alive()
        return self.outcome


def test_ended_waiter_raises_leaves_the_queue_and_lets_others_enter():
    lock = interlock.Lock()
    with lock:
        waiter = Waiter(lock.acquire)
        wait_until(lambda: lock.statistics().waiters)
        waiter.ending.end()
        assert isinstance(waiter.joined(), WaitEndedError)
        assert lock.statistics().waiters == ()
    assert lock.acquire(timeout=5)
    lock.release()


def test_ended_caller_raises_at_its_next_wait_and_enters_what_is_free():
    taken, free = interlock.Lock(), interlock.Lock()
    with taken, endable() as ending:
        ending.end()
        with pytest.raises(WaitEndedError):
            taken.acquire()
        assert free.acquire()
        free.release()
        assert taken.statistics().waiters == ()


def test_no_except_exception_catches_it_and_afterwards_waits_are_as_ever():
    lock = interlock.Lock()
    assert not issubclass(WaitEndedError, Exception)
    with lock:
        with endable() as ending:
            ending.end()
        assert lock.acquire(timeout=0.05) is False


def test_grant_that_comes_while_its_waiter_is_ended_is_passed_on():
    """Whichever is first, the lock is free for the next one, at once."""
    for _ in range(20):
        lock = interlock.Lock(linger=0)
        lock.acquire()
        waiter = Waiter(lock.acquire)
        wait_until(lambda lock=lock: lock.statistics().waiters)
        ender = threading.Thread(target=waiter.ending.end)
        ender.start()
        lock.release()
        ender.join()
        outcome = waiter.joined()
        assert outcome is True or isinstance(outcome, WaitEndedError)
        if outcome is True:
            lock.release()
        assert lock.acquire(timeout=5), "well within a lease"
        lock.release()
