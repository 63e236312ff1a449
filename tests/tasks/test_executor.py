"""`tasks.Executor` on a real worker: the contract of `concurrent.futures`, and exact cancellation."""

import asyncio
import concurrent.futures
import os
import subprocess
import sys
import threading
import traceback
from hashlib import sha1

import celery.exceptions
import pytest
from awkward_tasks import counted, held_up
from calling_tasks import echoes
from paths import PYTHONPATH
from peers import wait_until
from servers import Server

from interlock._protocol.scripts import Script
from tasks import Executor, QueueFullError, print_square
from tasks.transport import scripts
from workers.local_stack.children import ROOT


@pytest.fixture
def executor():
    """One for the queue of the worker; whatever a test leaves is cancelled."""
    made = Executor(queue="io")
    yield made
    made.shutdown(wait=False, cancel_futures=True)


@pytest.fixture
def unserved():
    """One for a queue that no worker serves."""
    made = Executor(queue="cpu")
    yield made
    made.shutdown(wait=False, cancel_futures=True)


def test_submit_returns_a_future_of_the_result(worker, executor):
    future = executor.submit(echoes, "text")
    assert isinstance(future, concurrent.futures.Future)
    assert future.result(60) == "text"
    assert (future.done(), future.cancelled(), future.cancel()) == (True, False, False)
    assert executor.submit(echoes, text="named").result(60) == "named"


def test_map_yields_in_the_order_of_the_arguments(worker, executor):
    assert list(executor.map(counted, [0.3, 0.0, 0.1], timeout=60)) == [f"{executor._name}-{i}" for i in range(3)]
    assert list(executor.map(echoes, [])) == []
    assert list(executor.map(echoes, map(str, range(700)))) == [str(number) for number in range(700)]


def test_as_completed_and_wait_take_the_futures(worker, executor, client):
    held = executor.submit(held_up)
    quick = [executor.submit(echoes, str(number)) for number in range(20)]
    assert {future.result() for future in concurrent.futures.as_completed(quick, timeout=60)} == set(
        map(str, range(20))
    )
    done, left = concurrent.futures.wait([*quick, held], timeout=0, return_when=concurrent.futures.FIRST_COMPLETED)
    assert (done, left) == (set(quick), {held})
    client.rpush("go", 1)
    assert concurrent.futures.wait([held], timeout=60).done == {held}


def test_exception_comes_with_the_traceback_of_the_worker(worker, executor):
    future = executor.submit(echoes, "bad", fail=True)
    with pytest.raises(ValueError, match="bad") as raised:
        future.result(60)
    assert "calling_tasks.py" in "".join(traceback.format_exception(raised.value))
    assert isinstance(future.exception(), ValueError)
    with pytest.raises(ValueError, match="bad"):
        list(executor.map(echoes, ["good", "bad"], [False, True]))


def test_task_that_no_worker_has_taken_is_cancelled_for_sure(client, unserved):
    first, second = (unserved.submit(print_square, number) for number in (1, 2))
    assert client.llen("cpu") == 2
    assert first.cancel()
    assert first.cancel(), "a second time it still is"
    assert client.llen("cpu") == 1
    with pytest.raises(concurrent.futures.CancelledError):
        first.result(0)
    assert concurrent.futures.wait([first, second], 0).done == {first}


def test_task_that_a_worker_has_is_not_cancelled(worker, executor, client):
    future = executor.submit(held_up)
    wait_until(lambda: client.llen("begun"), what="the task's start")
    assert not future.cancel()
    client.rpush("go", 1)
    assert future.result(60) == future.id


@pytest.mark.parametrize("twin", [False, True])
def test_every_task_is_either_cancelled_or_run(worker, executor, client, monkeypatch, twin):
    """While workers take them: whatever was cancelled did not begin, all else did."""
    if twin:
        real = scripts.script
        says_so = Script("return 1", sha1(b"return 1").hexdigest())
        monkeypatch.setattr(scripts, "script", lambda name: says_so if name == "withdraw" else real(name))
    futures = [executor.submit(counted, 0.2) for _ in range(60)]
    cancelled = {future.id for future in reversed(futures) if future.cancel()}
    ran = {future.result(60) for future in futures if not future.cancelled()}
    assert cancelled | ran == {future.id for future in futures}
    assert cancelled, "some were"
    wait_until(lambda: not client.exists("io", "unacked"), what="the end of all that was not removed")
    assert bool(cancelled & set(client.lrange("begun", 0, -1))) == twin


def test_delayed_task_is_cancelled(client):
    with Executor(queue="cpu", countdown=3600) as executor:
        future = executor.submit(print_square, 1)
        assert client.zcard("delayed") == 1
        assert future.cancel()
    assert not client.exists("delayed")


def test_shutdown_refuses_what_comes_later_and_waits(worker, client):
    with Executor(queue="io") as executor:
        future = executor.submit(counted, 0.3)
    assert future.done()
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(echoes, "late")
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.map(echoes, ["late"])
    executor.shutdown()
    assert not client.keys("celery-task*"), "it leaves nothing"


def test_shutdown_without_waiting_lets_tasks_end(worker, executor, client):
    future = executor.submit(held_up)
    executor.shutdown(wait=False)
    assert not future.done()
    client.rpush("go", 1)
    assert future.result(60) == future.id


def test_shutdown_that_cancels_leaves_what_runs(worker, executor, client):
    running = executor.submit(held_up)
    wait_until(lambda: client.llen("begun"), what="the task's start")
    others = Executor(queue="cpu")
    waiting = [others.submit(print_square, number) for number in range(3)]
    others.shutdown(cancel_futures=True)
    assert all(future.cancelled() for future in waiting)
    assert not client.llen("cpu")
    threading.Timer(0.2, client.rpush, ("go", 1)).start()
    executor.shutdown(cancel_futures=True)
    assert running.result(0) == running.id


def test_map_that_is_left_early_cancels_the_rest(client, unserved):
    with pytest.raises(TimeoutError):
        next(unserved.map(print_square, range(5), timeout=0.1))
    assert not client.llen("cpu")


WRONG = {
    "function": (lambda executor: executor.submit(len, "x"), "task must be a task"),
    "argument": (lambda executor: executor.submit(print_square, "ten"), "num must be"),
    "argument of a map": (lambda executor: executor.map(print_square, [1, "ten"]), "num must be"),
    "chunksize": (lambda executor: executor.map(print_square, [1], chunksize=0), "chunksize must be 1 or more"),
    "option": (lambda _: Executor(task_id="x"), "takes no option 'task_id'"),
    "queue_max": (lambda _: Executor(queue_max=0), "queue_max must be"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_use_is_refused_before_anything_is_sent(client, unserved, name):
    call, text = WRONG[name]
    with pytest.raises((TypeError, ValueError), match=text):
        call(unserved)
    assert not client.exists("cpu")
    assert not unserved._pending.all()


def test_unknown_queue_is_refused_where_the_executor_is_made():
    with pytest.raises(celery.exceptions.QueueNotFound):
        Executor(queue="gpu")


def test_full_queue_is_one_line_and_waits_for_nothing_that_was_not_sent(client):
    with Executor(queue="cpu", queue_max=2, timeout=0.1) as executor:
        sent = [executor.submit(print_square, number) for number in range(2)]
        with pytest.raises(QueueFullError, match="queue 'cpu' has 2 messages"):
            executor.submit(print_square, 3)
        with pytest.raises(QueueFullError) as raised:
            executor.map(print_square, range(3))
        assert "\n" not in str(raised.value)
        assert "name=" not in str(raised.value), "an executor has no name to go on with"
        assert executor._pending.all() == sent
        assert all(future.cancel() for future in sent)


def test_event_loop_runs_tasks_in_it(worker, executor):
    async def main():
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*(loop.run_in_executor(executor, echoes, str(number)) for number in range(5)))

    assert asyncio.run(main()) == list("01234")


def test_all_futures_share_one_subscription_and_redis_keeps_no_result(worker, executor, client):
    before = set(client.pubsub_channels())  # of earlier tests, whose results are still there
    futures = [executor.submit(counted, 0.2) for _ in range(30)]
    own = f"celery-task-meta-{executor._group}"
    wait_until(lambda: own in client.pubsub_channels(), what="the subscription")
    new = set(client.pubsub_channels("celery-task-meta-*")) - before
    assert not [each for each in new if ":executor-" not in each]
    concurrent.futures.wait(futures, 60)
    wait_until(lambda: not client.keys("celery-task-meta-*"), what="the removal of results")
    wait_until(lambda: not client.exists(f"celery-taskset-meta-{executor._group}.sent"), what="the removal of ids")


def test_thread_ends_when_nobody_waits_and_begins_again(worker, executor):
    assert executor.submit(echoes, "one").result(60) == "one"
    thread = executor._pending._thread
    thread.join(30)
    assert not thread.is_alive()
    assert executor.submit(echoes, "two").result(60) == "two"


def test_interpreter_ends_after_the_last_future(worker):
    code = """
from awkward_tasks import counted
from tasks import Executor
Executor(queue="io").submit(counted, 0.5).add_done_callback(lambda future: print("done", future.result()))
"""
    env = {**os.environ, "PYTHONPATH": PYTHONPATH}
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert said.stdout.startswith("done executor-"), said.stderr


def test_child_of_a_fork_is_told_to_make_its_own(unserved):
    future = unserved.submit(print_square, 1)
    child = os.fork()
    if child == 0:
        try:
            unserved.submit(print_square, 2)
        except RuntimeError as error:
            os._exit(7 if "does not survive a fork" in str(error) else 1)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert future.cancel()


PROGRAM = """
import concurrent.futures
from tasks import Executor, print_square
from tasks.enqueuing import outages
outages.OUTAGE_MAX = 1.0
executor = Executor()
future = executor.submit(print_square, 1)
print("sent", flush=True)
error = future.exception(60)
print(type(error).__name__, error, flush=True)
try:
    executor.submit(print_square, 2)
except Exception as error:
    print(type(error).__name__, error, flush=True)
executor.shutdown()
print("ended", flush=True)
"""


def test_redis_away_for_good_breaks_the_executor_in_one_line(tmp_path):
    (tmp_path / "redis").mkdir()
    server = Server(tmp_path / "redis")
    env = {**os.environ, "REDIS_URL": server.url}
    try:
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True
        ) as program:
            assert program.stdout.readline() == "sent\n"
            server.kill()
            said = program.communicate(timeout=60)[0].splitlines()
    finally:
        server.child.stop(0)
    assert said[0].startswith("BrokenExecutor the outcomes of tasks cannot be read: no Redis answers at")
    assert said[1].startswith("BrokenExecutor the outcomes of tasks cannot be read: no Redis answers at")
    assert said[2:] == ["ended"]
