"""Calls by signal handlers and finalizers, which interrupt interlock's own code in the same thread."""

import json
import os
import subprocess
import sys
import threading

import pytest
from mutants.guards import without
from paths import PYTHONPATH, SUPPORT

import interlock
from interlock._holding import lingering_lock
from interlock._holding.lingering_lock import LingeringLock
from interlock._holding.mutex import bookkeeping
from interlock._protocol import scripts
from interlock._session.process import session

PROGRAM = SUPPORT / "interruptions.py"
CALLS = ("acquire", "release", "set", "add", "permit", "put", "wait")
OUTCOMES = {"acquired", "set", "added", "permits", "put", "refused", "signals", "litter"}
THREADS = {"MainThread", "crowd", "interlock-heartbeat", "interlock-listener", "interlock-names", "Dummy-"}


def interrupted(program, argument="", twin="", within=240):
    """The program's end and what it counted; a watchdog ends one that hangs."""
    environment = {**os.environ, "PYTHONPATH": PYTHONPATH, "INTERRUPTIONS_WITHIN": str(within)}
    command = [sys.executable, str(PROGRAM), program, argument, twin]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=within + 60)


def counted(ended):
    assert ended.returncode == 0, ended.stderr[-4000:]
    return json.loads(ended.stdout)


@pytest.mark.parametrize("call", CALLS)
def test_handler_at_each_line_neither_hangs_nor_ends_the_heartbeat_nor_is_lost(call):
    """In callers, in the heartbeat and in the listener; what it does takes effect, once."""
    found = counted(interrupted("everywhere", call))
    assert found.keys() <= OUTCOMES | THREADS
    assert found["MainThread"] > 500
    assert found["interlock-heartbeat"] > 100
    assert found["interlock-listener"] > 50
    assert ("refused" in found) == (call == "wait")


@pytest.mark.parametrize("seed", ["1", *(pytest.param(seed, marks=pytest.mark.long) for seed in "2345")])
def test_signals_at_random_moments_neither_hang_nor_lose_anything(seed):
    found = counted(interrupted("signals", seed))
    assert found.keys() <= OUTCOMES | THREADS
    assert found["signals"] >= 1500


def test_finalizers_that_the_collector_runs_in_any_thread_neither_hang_nor_lose_anything():
    found = counted(interrupted("finalizers"))
    late = ("NotHeldError: cannot release", "GoneError: ")  # calls made a moment later
    assert {each for each in found if not each.startswith(late)} <= OUTCOMES | THREADS
    assert found["interlock-heartbeat"] > 0


@pytest.mark.parametrize("twin", ["mutex without an owner", "who is interrupted is waited for"])
def test_handler_at_each_line_hangs_on_a_twin(twin):
    assert "Timeout" in interrupted("everywhere", "set", twin, within=6).stderr


WAITS = {"waits for ever": (LingeringLock, "take_io", "INTERRUPTING_MAX if me.interrupts else None", "None")}


@pytest.mark.parametrize("twin", [None, *WAITS])
def test_two_threads_that_are_interrupted_amid_commits_do_not_wait_for_each_other(monkeypatch, twin):
    """A finalizer in each commits what the other is committing."""
    locks = [interlock.RLock(linger=10) for _ in range(2)]
    values = [interlock.Value("i", 0, lock=lock) for lock in locks]
    own, real, both, done = session(None), scripts.commit, threading.Barrier(2), []
    struck = set()

    def commit(number):
        own.run(own.lingering.commit(locks[number]._lingering_lock))

    def interrupted(*arguments, **options):
        name = threading.current_thread().name
        if name in ("0", "1") and name not in struck:
            struck.add(name)
            both.wait(10)  # both are amid their commits
            commit(1 - int(name))
        return real(*arguments, **options)

    def write_and_commit(number):
        with values[number].get_lock():
            values[number].value += 1
        commit(number)
        done.append(number)

    monkeypatch.setattr(lingering_lock, "COMMIT", 60.0)  # seconds: no look of the heartbeat comes to the rescue
    with without(WAITS, twin):
        threads = [threading.Thread(target=write_and_commit, args=(number,), name=str(number)) for number in range(2)]
        monkeypatch.setattr(scripts, "commit", interrupted)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10 if twin is None else 3)
        assert (sorted(done) == [0, 1]) == (twin is None)
        if twin is not None:  # let them end
            for lock in locks:
                lock._lingering_lock._io.clear()
        for thread in threads:
            thread.join(10)
    interlock.flush()
    assert [value.value for value in values] == [1, 1]
    for value in values:
        value.unlink()


def test_call_amid_bookkeeping_is_refused_or_made_later():
    """As a handler makes it that strikes while its own thread has the mutex."""
    lock, other, event = interlock.Lock(), interlock.Lock(linger=0), interlock.Event()
    value, queue = interlock.Value("i", 0), interlock.Queue()
    other.acquire()
    with bookkeeping():
        assert lock.acquire(False) is False
        assert lock.acquire(blocking=False) is False
        assert lock.acquire(timeout=0) is False
        for refused in (lock.acquire, lambda: lock.acquire(timeout=1), event.wait, queue.get_nowait, interlock.flush):
            with pytest.raises(interlock.ReentryError, match="signal handler") as caught:
                refused()
            assert "\n" not in str(caught.value)
        other.release()
        event.set()
        value.add(2)
        queue.put_nowait(1)
        queue.put(2, block=False)
        with pytest.raises(interlock.ReentryError):
            queue.put(3)
    assert event.wait(10)
    assert [queue.get(timeout=10), queue.get(timeout=10)] == [1, 2]
    assert other.acquire(timeout=10)
    other.release()
    assert value.value == 2
    for each in (value, event, queue):
        each.unlink()


def test_rlock_that_a_handler_releases_amid_bookkeeping_is_released_for_its_owner():
    lock = interlock.RLock(linger=0)
    lock.acquire()
    with bookkeeping():
        lock.release()
    entered = []
    thread = threading.Thread(target=lambda: entered.append(lock.acquire(timeout=10) and lock.release()))
    thread.start()
    thread.join()
    assert entered == [None]


def test_child_made_by_fork_amid_bookkeeping_has_a_mutex_of_its_own():
    """A handler forks, as `subprocess` and `multiprocessing` do."""
    with bookkeeping():
        child = os.fork()
        if child == 0:
            os._exit(0 if interlock.Lock().acquire(timeout=10) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
