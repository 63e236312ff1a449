"""Lock and RLock as their twins in threading, and what is ours."""

import os
import signal
import threading
import time

import pytest
import redis
from faults import unanswered
from peers import SPAWN, hold, peers, wait_until

import interlock


@pytest.mark.parametrize("kind", [interlock.Lock, interlock.RLock])
def test_lock_is_free_after_its_with_block(kind):
    lock = kind()
    assert not lock.locked()
    with lock as held:
        assert held is True
        assert lock.locked()
        assert lock.token > 0
        assert lock.deadline > time.monotonic()
    assert not lock.locked()
    assert (lock.token, lock.deadline, lock.lost) == (None, None, False)


def test_lock_acquired_by_one_thread_may_be_released_by_another():
    lock = interlock.Lock()
    lock.acquire()
    thread = threading.Thread(target=lock.release)
    thread.start()
    thread.join()
    assert lock.acquire(blocking=False)
    lock.release()


def test_rlock_is_released_as_often_as_acquired_and_by_its_owner_alone():
    lock = interlock.RLock()
    assert lock.acquire()
    assert lock.acquire(timeout=1)
    errors = []

    def release():
        try:
            lock.release()
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=release)
    thread.start()
    thread.join()
    assert len(errors) == 1
    lock.release()
    assert lock.locked()
    lock.release()
    assert not lock.locked()


@pytest.mark.parametrize("kind", [interlock.Lock, interlock.RLock])
@pytest.mark.parametrize("error", [RuntimeError, ValueError, interlock.NotHeldError])
def test_release_of_what_is_not_held_raises_what_users_of_both_twins_catch(kind, error):
    with pytest.raises(error, match="does not hold it"):
        kind().release()


def test_lock_held_by_another_process_cannot_be_released(client):
    lock = interlock.Lock()
    with peers(hold, [(lock, "holder")]):
        wait_until(lambda: client.llen("entered"))
        with pytest.raises(interlock.NotHeldError):
            lock.release()
        assert lock.locked()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"blocking": False, "timeout": 1}, ValueError),
        ({"timeout": -2}, ValueError),
        ({"timeout": float("nan")}, ValueError),
        ({"timeout": threading.TIMEOUT_MAX * 2}, OverflowError),
        ({"timeout": "1"}, TypeError),
        ({"timeout": None}, TypeError),
    ],
)
def test_bad_timeout_raises_as_in_threading(arguments, error):
    with pytest.raises(error):
        threading.Lock().acquire(**arguments)
    with pytest.raises(error):
        interlock.Lock().acquire(**arguments)


@pytest.mark.parametrize("name", ["", "a{b", "a}", "x" * 513, "é" * 300])
def test_bad_name_is_refused(name):
    with pytest.raises(ValueError, match="1 to 512 bytes and no braces"):
        interlock.Lock(name=name)


@pytest.mark.parametrize("lease", [0, -1, float("inf"), float("nan"), 0.01, 90_000])
def test_bad_lease_is_refused(lease):
    with pytest.raises(ValueError, match=r"lease must be 0\.1 to 86400 seconds"):
        interlock.Lock(lease=lease)


def test_one_name_for_two_kinds_is_refused():
    lock = interlock.Lock(name="both")
    with lock, pytest.raises(interlock.NameTakenError, match="'both' is a Lock already, not a Semaphore"):
        interlock.Semaphore(name="both").acquire()


def test_one_name_for_two_counts_of_permits_is_refused():
    with interlock.Semaphore(2, name="slots"), pytest.raises(interlock.NameTakenError, match="has 2 permits, not 3"):
        interlock.Semaphore(3, name="slots").acquire()


def test_two_locks_of_one_name_are_one_lock():
    first, second = interlock.Lock(name="same"), interlock.Lock(name="same")
    first.acquire()
    assert not second.acquire(blocking=False)
    second.release()
    assert not first.locked()


def test_two_hundred_threads_wait_on_one_lock():
    lock = interlock.Lock()
    inside, most, done = 0, 0, 0

    def enter():
        nonlocal inside, most, done
        with lock:
            inside += 1
            most = max(most, inside)
            inside -= 1
            done += 1

    threads = [threading.Thread(target=enter) for _ in range(200)]
    with lock:
        for thread in threads:
            thread.start()
        wait_until(lambda: len(lock.statistics().waiters) == 200)
    for thread in threads:
        thread.join(30)
    assert (most, done) == (1, 200)


def test_statistics_name_holder_and_waiters():
    lock = interlock.Lock(name="watched")
    with lock, peers(hold, [(lock, "waiter", 0.0)]) as (waiter,):
        wait_until(lambda: lock.statistics().waiters)
        seen = lock.statistics()
        assert seen.holders[0].token == lock.token
        assert 0 < seen.holders[0].remaining <= 30
        assert seen.waiters[0].endswith(f":{waiter.pid}")
        assert [each.name for each in interlock.inspect()] == ["watched"]


def test_child_of_a_fork_does_not_hold_what_its_parent_holds():
    import multiprocessing

    fork = multiprocessing.get_context("fork")
    lock = interlock.Lock()
    results = fork.Queue()

    def child():
        results.put(lock.acquire(blocking=False))
        results.put(lock.token)
        results.put(lock.acquire(timeout=20))
        lock.release()

    with lock:
        token = lock.token
        process = fork.Process(target=child)
        process.start()
        assert results.get(timeout=20) is False
        assert results.get(timeout=20) is None
        assert lock.token == token
    assert results.get(timeout=20) is True
    process.join(20)
    assert process.exitcode == 0


def _leave_locked(lock):
    lock.acquire()


def test_process_that_ends_in_order_gives_back_what_it_holds():
    lock = interlock.Lock(lease=600.0)
    process = SPAWN.Process(target=_leave_locked, args=(lock,))
    process.start()
    process.join(20)
    assert process.exitcode == 0
    assert not lock.locked()


def test_task_that_ends_holding_a_lock_has_it_released_with_a_warning():
    lock = interlock.Lock(name="forgotten")
    warned = pytest.warns(ResourceWarning, match=r"task work\[42\] ended holding the Lock 'forgotten'")
    with warned, interlock.acting_for("42", "work"):
        lock.acquire()
        assert lock.statistics().holders[0].who.endswith("work[42]")
    assert not lock.locked()


def test_task_that_forgot_two_locks_has_both_released_though_one_was_lost(client):
    first, second = interlock.Lock(), interlock.Lock()
    with pytest.raises(interlock.LeaseLostError), pytest.warns(ResourceWarning), interlock.acting_for("7", "work"):
        first.acquire()
        second.acquire()
        client.delete(f"interlock:{{{first.name}}}", f"interlock:{{{first.name}}}:holders")
    assert not second.locked()


def test_interrupted_between_entry_and_return_holds_nothing(monkeypatch):
    """The exception of a signal handler, in the worst moment."""
    from interlock._session.acquiring import Acquiring

    lock = interlock.RLock()
    real = Acquiring._enter

    def interrupted(self, *arguments):
        real(self, *arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(Acquiring, "_enter", interrupted)
    with pytest.raises(KeyboardInterrupt):
        lock.acquire()
    monkeypatch.setattr(Acquiring, "_enter", real)
    assert not lock.locked()
    assert lock.token is None


def test_next_task_of_a_thread_does_not_own_an_rlock_of_the_one_before():
    lock = interlock.RLock()
    with interlock.acting_for("1", "first"):
        lock.acquire()
        with interlock.acting_for("2", "second"):
            assert not lock.acquire(blocking=False)
        lock.release()


def interrupt_when_it_waits(lock):
    wait_until(lambda: lock.statistics().waiters)
    os.kill(os.getpid(), signal.SIGINT)


def test_wait_that_is_interrupted_leaves_the_queue():
    lock = interlock.Lock()
    lock.acquire()
    other = interlock.Lock(name=lock.name)

    waiter = threading.Thread(target=interrupt_when_it_waits, args=(lock,))
    waiter.start()
    with pytest.raises(KeyboardInterrupt):
        other.acquire(timeout=20)
    waiter.join()
    assert lock.statistics().waiters == ()
    lock.release()


def test_two_threads_that_release_one_lock_at_once_succeed_once():
    for _ in range(10):
        lock = interlock.Lock()
        lock.acquire()
        outcomes = []

        def release(lock=lock, outcomes=outcomes):
            try:
                lock.release()
                outcomes.append("released")
            except interlock.NotHeldError:
                outcomes.append("not held")

        threads = [threading.Thread(target=release) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["not held", "released"]


def test_hand_over_under_a_lease_shorter_than_a_claim_keeps_one_inside(client):
    """The confirmation makes a shorter lease of the claim: its end is what counts, for both sides."""
    from peers import go_through, joined

    lock = interlock.Lock(lease=0.3)
    with peers(go_through, [(lock, 3, 12, 0.12)] * 3) as processes:
        joined(processes)
    assert max(int(inside) for inside in client.lrange("seen", 0, -1)) == 1


def test_grant_that_is_read_after_its_end_is_asked_for_again(monkeypatch):
    """The reply was read when the lease was over: the caller must not believe it."""
    from interlock._protocol import scripts

    lock = interlock.Lock(lease=0.4)
    real = scripts.acquire
    calls = []

    def slow_once(*arguments, **options):
        asked = yield from real(*arguments, **options)
        calls.append(asked.code)
        if len(calls) == 1:
            time.sleep(0.6)
        return asked

    monkeypatch.setattr(scripts, "acquire", slow_once)
    assert lock.acquire(timeout=30)
    assert len(calls) >= 2
    assert not lock.lost
    lock.release()


def test_release_that_was_not_sent_is_not_renewed():
    lock = interlock.RLock(lease=0.5)
    other = interlock.RLock(name=lock.name)
    lock.acquire()
    with unanswered("release", done=False), pytest.raises(redis.ConnectionError):
        lock.release()
    assert other.acquire(timeout=30), "after the lease"
    other.release()


@pytest.mark.parametrize("done", [True, False])
def test_release_goes_on_for_as_long_as_the_lease_while_redis_does_not_answer(done):
    lock = interlock.Lock()
    value = interlock.Value("i", 0, lock=lock)
    lock.acquire()
    value.value = 7
    with unanswered("release", done=done, times=3):
        lock.release()
    assert not lock.locked()
    assert value.value == 7


def test_release_that_was_not_sent_can_be_sent_again():
    lock = interlock.RLock()
    lock.acquire()
    with unanswered("release", done=False, error=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        lock.release()
    assert lock.locked()
    lock.release()
    assert not lock.locked()


def test_release_ends_what_is_held_and_not_what_was_released_without_an_answer():
    lock = interlock.Lock()
    lock.acquire()
    with unanswered("release", done=True, error=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        lock.release()
    lock.acquire()
    thread = threading.Thread(target=lock.release)
    thread.start()
    thread.join()
    assert not lock.locked()


@pytest.mark.parametrize("kind", [interlock.Lock, interlock.RLock])
@pytest.mark.parametrize("linger", [0, 10])
def test_repr_shows_what_this_process_knows(kind, linger):
    lock = kind(name="shown", linger=linger)
    free = f"<interlock.{kind.kind} 'shown' not held here>"
    assert repr(lock) == free
    with lock:
        assert repr(lock) == f"<interlock.{kind.kind} 'shown' locked token={lock.token}>"
    assert repr(lock) == free
    assert repr(interlock.Condition(lock, name="changed")) == f"<interlock.Condition 'changed' of {free}>"
