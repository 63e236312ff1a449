"""The pool for coroutines: a real worker on the test server, with tasks of tests/support/coroutine_tasks.py."""

import contextlib
import os
import re

import coroutine_tasks as tasks_here
import pytest
from celery.exceptions import SoftTimeLimitExceeded, TaskRevokedError, TimeLimitExceeded
from coroutine_worker import coroutine_worker
from peers import plain, wait_until

import interlock
from tasks import wait


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    """One worker for the tests that leave it running."""
    with coroutine_worker(tmp_path_factory.mktemp("aio")) as process:
        yield process
        assert process.poll() is None, process.log()


@pytest.fixture
def lock():
    return interlock.Lock(lease=3.0)


def noted():
    with plain() as client:
        return client.lrange("noted", 0, -1)


def test_task_returns_its_result_and_called_directly_its_coroutine(up):
    answer = wait.delay(0.1).get(timeout=90)
    assert answer["pid"] == up.pid
    assert answer["took"] >= 0.1
    coroutine = wait(0.1)
    with contextlib.closing(coroutine):
        assert coroutine.cr_code.co_name == "wait"


def test_each_coroutine_sees_its_own_request_before_and_after_others_ran(up):
    results = [tasks_here.own_request.delay(number) for number in range(50)]
    for number, result in enumerate(results):
        answer = result.get(timeout=90)
        assert answer == {"before": result.id, "after": result.id, "args": [number], "number": number}


def test_retries_by_hand_and_by_themselves(up):
    assert tasks_here.fails_twice.delay().get(timeout=90) == 2
    assert tasks_here.fails_by_itself.delay().get(timeout=90) == 1


def test_plain_function_runs_too_and_a_coroutine_without_the_pool(up):
    assert tasks_here.plain.delay(4).get(timeout=90) == 5
    assert wait.apply((0.01,)).get()["pid"] == os.getpid(), "eagerly: on an event loop of its own"


def test_soft_time_limit_is_raised_inside_and_may_be_caught(up):
    assert tasks_here.cleans_up.delay().get(timeout=90) == "cleaned up"
    with pytest.raises(SoftTimeLimitExceeded):
        wait.apply_async((30.0,), soft_time_limit=0.2).get(timeout=90)


def test_soft_time_limit_of_one_that_waits_for_a_lock_leaves_the_queue(up, lock):
    with lock:
        with pytest.raises(SoftTimeLimitExceeded):
            tasks_here.stays.apply_async((lock, 0.0, "a"), soft_time_limit=0.3).get(timeout=90)
        assert lock.statistics().waiters == ()
    assert tasks_here.stays.delay(lock, 0.0, "b").get(timeout=90) == "b"


def test_hard_time_limit_cancels_fails_and_releases(up, lock):
    with pytest.raises(TimeLimitExceeded):
        tasks_here.too_long.delay(lock, "cleaned").get(timeout=90)
    assert noted() == ["cleaned"]
    assert lock.acquire(timeout=10.0)
    lock.release()


def test_revoked_coroutine_is_cancelled_and_its_lock_is_free_at_once(up, lock):
    result = tasks_here.stays.delay(lock, 60.0, "a")
    wait_until(lambda: noted() == ["a in"])
    waiting = tasks_here.stays.delay(lock, 0.0, "b")
    given_up = tasks_here.stays.delay(lock, 0.0, "c")
    wait_until(lambda: len(lock.statistics().waiters) == 2)
    given_up.revoke(terminate=True)
    wait_until(lambda: len(lock.statistics().waiters) == 1)
    result.revoke(terminate=True)
    assert waiting.get(timeout=90) == "b"
    assert noted() == ["a in", "a out", "b in", "b out"]
    for revoked in (result, given_up):
        with pytest.raises(TaskRevokedError):
            revoked.get(timeout=90)
        assert revoked.state == "REVOKED"


def test_lock_that_a_coroutine_leaves_held_is_released_with_a_warning(up, lock):
    tasks_here.forgets.delay(lock).get(timeout=90)
    assert lock.acquire(timeout=0.5), "long before its lease is over"
    lock.release()
    assert f"the task {tasks_here.forgets.name}[" in up.log()
    assert f"ended holding the Lock {lock.name!r}: released" in up.log()


@pytest.mark.parametrize("what", ["exit", "interrupt", "cancelled"])
def test_body_that_would_end_the_process_only_fails(up, what):
    with pytest.raises(RuntimeError, match=r"the task raised (SystemExit\(3\)|KeyboardInterrupt\(\)|CancelledError), "):
        tasks_here.raises.delay(what).get(timeout=90)
    assert wait.delay(0.0).get(timeout=90)["pid"] == up.pid


def test_watchdog_names_the_task_and_the_line_that_blocks(up):
    result = tasks_here.blocks.delay(1.0)
    result.get(timeout=90)
    named = rf"tests\.coroutines\.blocks\[{result.id}\] blocks the event loop, .*coroutine_tasks\.py:\d+ in blocks"
    wait_until(lambda: re.search(named, up.log()), what="the warning")


def test_values_are_committed_before_the_result_is_stored(up):
    value = interlock.Value("i", 0, linger=10.0)
    for number in range(1, 4):
        tasks_here.writes.delay(value).get(timeout=90)
        assert value.value == number
    value.unlink()


def test_task_whose_commit_fails_fails(up):
    """The broken twin, which commits later, succeeds without having done anything."""
    with pytest.raises(interlock.LeaseLostError):
        tasks_here.loses.delay(interlock.Value("i", 0, linger=10.0, ttl=60.0)).get(timeout=90)
    assert tasks_here.loses_and_succeeds.delay(interlock.Value("i", 0, linger=10.0, ttl=60.0)).get(timeout=90) is None


def test_coroutine_that_ignores_its_time_limit_fails_and_is_left_behind(up):
    with pytest.raises(TimeLimitExceeded):
        tasks_here.stubborn.delay().get(timeout=90)
    assert "stubborn[" in up.log()
    assert "goes on though it was cancelled (its time limit is over)" in up.log()
