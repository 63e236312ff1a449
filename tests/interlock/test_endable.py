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


def test_ended_wait_for_a_condition_has_the_lock_again_however_long_that_takes():
    """Else the end of its section would raise, in place of what ended it, that it does not hold the lock."""
    condition = interlock.Condition(interlock.RLock(linger=0))

    def wait():
        with condition:
            condition.wait()

    waiter = Waiter(wait)
    wait_until(lambda: condition.statistics().waiters)
    with condition:
        waiter.ending.end()
        wait_until(lambda: condition.get_lock().statistics().waiters, what="its wait for the lock")
    assert isinstance(waiter.joined(), WaitEndedError)
    assert not condition.get_lock().locked()


def test_ended_waiter_that_was_notified_passes_the_notification_on():
    condition = interlock.Condition(interlock.RLock(linger=0))

    def wait():
        with condition:
            return condition.wait(60)

    first = Waiter(wait)
    wait_until(lambda: len(condition.statistics().waiters) == 1)
    second = Waiter(wait)
    wait_until(lambda: len(condition.statistics().waiters) == 2)
    with condition:
        condition.notify()
        first.ending.end()
    outcomes = first.joined(), second.joined()
    assert outcomes[1] is True
    assert outcomes[0] is True or isinstance(outcomes[0], WaitEndedError)
