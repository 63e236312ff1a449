"""Connections of a worker that the server cuts, one kind at a time: each task runs once all the same."""

import os
import signal
from collections import Counter
from datetime import UTC, datetime, timedelta

import psutil
import pytest
from awkward_tasks import counted, counted_coroutine
from peers import plain, wait_until
from queue_workers import queue_worker

from tasks import app

TASKS, AT_ONCE = 20, 10


@pytest.fixture(scope="module", params=["cpu", "io", "aio"])
def worker(request, tmp_path_factory):
    """One worker of each queue for all that is cut here."""
    with queue_worker(tmp_path_factory.mktemp(request.param), request.param, concurrency=AT_ONCE) as process:
        yield process
        assert process.poll() is None, process.log()


def cut(client, kind):
    """End the worker's connections of that kind; this process's own are left alone, for later tests use them."""
    own = {each.laddr.port for each in psutil.Process().net_connections("tcp")}
    others = [each for each in client.client_list() if int(each["addr"].rpartition(":")[2]) not in own]
    of_kind = {
        "all": lambda _: True,
        "pubsub": lambda each: "P" in each["flags"],
        "scripts": lambda each: each["cmd"] in ("brpop", "eval", "evalsha"),
    }[kind]
    return sum(client.client_kill_filter(_id=each["id"]) for each in others if of_kind(each))


def runs_of(worker, kind, seconds=0.5):
    """How often each task ran, by its id, when connections of that kind were cut while half of them ran."""
    task = counted_coroutine if worker.queue == "aio" else counted
    with plain() as client:
        results = [task.apply_async((seconds,), queue=worker.queue) for _ in range(TASKS)]
        wait_until(lambda: client.llen("begun") >= AT_ONCE, what="the start of the first tasks")
        assert cut(client, kind) >= 1
        wait_until(lambda: client.llen("done") >= TASKS, within=60, what="the end of all tasks")
        wait_until(lambda: not client.hlen("unacked") and not client.llen(worker.queue), within=30, what="all acks")
        return Counter(result.id for result in results), Counter(client.lrange("begun", 0, -1))


@pytest.mark.parametrize("kind", ["pubsub", "scripts", "all"])
def test_tasks_of_a_worker_whose_connections_are_cut_run_once(worker, kind):
    expected, runs = runs_of(worker, kind)
    assert runs == expected
    assert worker.poll() is None


def test_tasks_of_a_worker_with_gossip_and_mingle_run_once(tmp_path):
    with queue_worker(tmp_path, "io", "--task-events", concurrency=AT_ONCE) as worker:
        expected, runs = runs_of(worker, "pubsub")
        assert runs == expected


def test_broken_twin_gives_running_tasks_back(tmp_path):
    """Celery's own consumer closes the channel that has the tasks when another one breaks."""
    with queue_worker(tmp_path, "io", concurrency=AT_ONCE, include="awkward_tasks,mutants.twin_consumer") as worker:
        expected, runs = runs_of(worker, "pubsub")
        assert runs.total() > expected.total()


def test_task_that_has_not_begun_is_given_back_when_connections_are_cut(worker):
    """A plain producer has sent it with a due time, so the worker has it and waits."""
    with plain() as client:
        due = datetime.now(UTC) + timedelta(seconds=2)
        result = counted_coroutine.apply_async((0.0,), queue=worker.queue, eta=due)
        ((delayed, _),) = client.zpopmin("delayed")
        client.lpush(worker.queue, delayed.partition("\n")[2])
        wait_until(lambda: client.hlen("unacked") == 1, what="its arrival")
        cut(client, "all")
        assert result.get(timeout=90) == result.id
        assert client.lrange("begun", 0, -1) == [result.id]


def test_rate_limited_tasks_are_given_back_when_connections_are_cut(tmp_path):
    """Celery knows those that wait for their turn by no set that it looks at."""
    with queue_worker(tmp_path, "io", concurrency=2) as worker, plain() as client:
        app.control.rate_limit(counted.name, "20/m")
        results = [counted.apply_async((0.0,), queue="io") for _ in range(4)]
        wait_until(lambda: client.llen("begun") and client.hlen("unacked"), what="one that waits for its turn")
        cut(client, "all")
        assert [result.get(timeout=90) for result in results] == [result.id for result in results]
        wait_until(lambda: not client.hlen("unacked"), what="all acknowledgements")
        assert worker.poll() is None


def test_task_of_a_pool_process_that_stands_still_is_given_back_when_connections_are_cut(tmp_path):
    with queue_worker(tmp_path, "cpu", concurrency=1) as worker, plain() as client:
        child = psutil.Process(worker.pid).children()[0]
        child.suspend()
        result = counted.apply_async((0.0,), queue="cpu")
        wait_until(lambda: client.hlen("unacked") == 1, what="its arrival")
        cut(client, "all")
        wait_until(lambda: "Connection to broker lost" in worker.log(), what="the worker's notice")
        child.resume()
        assert result.get(timeout=90) == result.id
        wait_until(lambda: not client.hlen("unacked") and not client.llen("cpu"), what="all acknowledgements")


def test_task_whose_process_is_killed_after_a_cut_runs_again(tmp_path):
    """Its message is given back over another connection: the channel that it came by is closed."""
    with queue_worker(tmp_path, "cpu", concurrency=1) as worker, plain() as client:
        result = counted.apply_async((2.0,), queue="cpu")
        wait_until(lambda: client.llen("begun") == 1, what="the task's start")
        cut(client, "all")
        wait_until(lambda: "Connection to broker lost" in worker.log(), what="the worker's notice")
        os.kill(psutil.Process(worker.pid).children()[0].pid, signal.SIGKILL)
        assert result.get(timeout=90) == result.id
        assert client.llen("begun") == 2
        assert worker.poll() is None
