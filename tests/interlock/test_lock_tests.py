"""CPython's own tests of threading's locks, pointed at ours: threads of one process, each object unnamed."""

import os
import unittest
from unittest import mock

import pytest
from peers import wait_until

import interlock

if not os.environ.get("CI"):  # there, its absence is an error
    pytest.importorskip("test.lock_tests", reason="Python comes without its tests (Debian: libpython3-testsuite)")

from test import lock_tests

PRIVATE = "a private method of the C lock, which threading.Condition calls; ours releases in one script instead"
REPR = "repr asks nobody, so it cannot say what others do: it says whether this process holds it"
LEFT_OUT = {
    (
        "LockTests",
        "test_at_fork_reinit",
    ): "a private method of the C lock; ours begins anew after a fork by itself",
    ("LockTests", "test_repr"): REPR,
    ("LockTests", "test_locked_repr"): REPR,
    ("RLockTests", "test__is_owned"): PRIVATE,
    ("RLockTests", "test_recursion_count"): PRIVATE,
    ("RLockTests", "test_release_save_unacquired"): PRIVATE,
    ("RLockTests", "test_repr"): REPR,
    ("RLockTests", "test_locked_repr"): REPR,
    ("SemaphoreTests", "test_repr"): REPR,
    ("BoundedSemaphoreTests", "test_repr"): REPR,
    ("ConditionTests", "test_acquire"): "gives it a threading.Lock: it is tested with ours in test_condition.py",
    ("ConditionAsRLockTests", "test__is_owned"): PRIVATE,
    ("ConditionAsRLockTests", "test_recursion_count"): PRIVATE,
    ("ConditionAsRLockTests", "test_release_save_unacquired"): PRIVATE,
    ("ConditionAsRLockTests", "test_repr"): REPR,
    ("ConditionAsRLockTests", "test_locked_repr"): REPR,
    ("EventTests", "test_at_fork_reinit"): "looks at the private condition of threading.Event",
}


class LockTests(lock_tests.LockTests):
    locktype = staticmethod(interlock.Lock)


class RLockTests(lock_tests.RLockTests):
    locktype = staticmethod(interlock.RLock)


class SemaphoreTests(lock_tests.SemaphoreTests):
    semtype = staticmethod(interlock.Semaphore)


class BoundedSemaphoreTests(lock_tests.BoundedSemaphoreTests):
    semtype = staticmethod(interlock.BoundedSemaphore)


class ConditionTests(lock_tests.ConditionTests):
    condtype = staticmethod(interlock.Condition)


class ConditionAsRLockTests(lock_tests.RLockTests):
    locktype = staticmethod(interlock.Condition)


class EventTests(lock_tests.EventTests):
    def setUp(self):
        """Where CPython's tests sleep 50 ms until all threads wait, ask whether they do."""
        super().setUp()
        patch = mock.patch.object(lock_tests, "wait_threads_blocked", self.all_wait, create=True)
        patch.start()
        self.addCleanup(patch.stop)

    def eventtype(self):
        self.event = interlock.Event()
        return self.event

    def all_wait(self, threads):
        wait_until(lambda: len(self.event.statistics().waiters) == threads, what=f"{threads} waiters")


class BarrierTests(lock_tests.BarrierTests):
    barriertype = staticmethod(interlock.Barrier)


def setUpModule():
    """The session's listener starts with the first wait and stays: the tests count threads."""
    interlock.Event().wait(0.01)


OURS = [each for each in list(globals().values()) if isinstance(each, type) and each.__module__ == __name__]
for case in OURS:
    for name in unittest.defaultTestLoader.getTestCaseNames(case):
        if (case.__name__, name) in LEFT_OUT:
            setattr(case, name, None)


def test_what_is_left_out_is_listed_with_its_reason():
    assert len(LEFT_OUT) == 17
    for case, name in LEFT_OUT:
        (ours,) = [each for each in OURS if each.__name__ == case]
        assert hasattr(ours.__bases__[0], name), "it is there, in CPython's"
