"""Workers that are killed and stopped: each task runs, and twice only if its worker was away for too long."""

import os
import signal
import time
from collections import Counter

import pytest
from awkward_tasks import counted, counted_coroutine
from peers import plain, wait_until
from queue_workers import queue_worker

from tasks import app

VISIBILITY = 3
QUICK = {"INTERLOCK_VISIBILITY_SECONDS": str(VISIBILITY)}


def task_of(queue):
    return counted_coroutine if queue == "aio" else counted


def begun(client):
    return Counter(client.lrange("begun", 0, -1))


@pytest.mark.parametrize("queue", ["cpu", "io", "aio"])
def test_task_longer_than_the_timeout_begins_once(tmp_path, queue):
    """It is renewed; the message behind it, which waits in its queue, is too when its turn comes."""
    with queue_worker(tmp_path, queue, concurrency=1, **QUICK) as worker, plain() as client:
        results = [task_of(queue).apply_async((2.5 * VISIBILITY,), queue=queue) for _ in range(2)]
        assert [result.get(timeout=90) for result in results] == [result.id for result in results]
        assert begun(client) == Counter(result.id for result in results)
        assert worker.poll() is None


@pytest.mark.parametrize("queue", ["cpu", "io", "aio"])
def test_tasks_of_a_killed_worker_are_back_soon(tmp_path, queue):
    """The timeout, plus a sweep and its rounding; more only on a machine that is busy."""
    with (
        queue_worker(tmp_path, queue, concurrency=2, **QUICK) as first,
        queue_worker(tmp_path, queue, concurrency=4, **QUICK) as other,
        plain() as client,
    ):
        os.kill(other.pid, signal.SIGSTOP)
        results = [task_of(queue).apply_async((1.0,), queue=queue) for _ in range(2)]
        wait_until(lambda: client.llen("begun") == 2, what="the tasks' start")
        os.killpg(first.pid, signal.SIGKILL)
        os.kill(other.pid, signal.SIGCONT)
        killed = time.monotonic()
        assert [result.get(timeout=90) for result in results] == [result.id for result in results]
        assert time.monotonic() - killed < VISIBILITY + 30
        assert "no longer renews task" in other.log()
        wait_until(lambda: not client.hlen("unacked"), what="all acknowledgements")


@pytest.mark.parametrize("queue", ["cpu", "io", "aio"])
def test_worker_that_was_stopped_for_too_long_acknowledges_nothing_of_others(tmp_path, queue):
    """Its task runs twice, which the logs say; the second delivery is acknowledged by its own worker."""
    with queue_worker(tmp_path, queue, concurrency=1, **QUICK) as first, plain() as client:
        result = task_of(queue).apply_async((2.0,), queue=queue)
        wait_until(lambda: client.llen("begun") == 1, what="the task's start")
        os.killpg(first.pid, signal.SIGSTOP)
        with queue_worker(tmp_path, queue, concurrency=1, **QUICK) as second:
            wait_until(lambda: client.llen("begun") == 2, what="its second start")
            os.killpg(first.pid, signal.SIGCONT)
            wait_until(lambda: " gone back" in first.log(), what="the first one's notice")
            assert result.get(timeout=60) == result.id
            wait_until(lambda: not client.hlen("unacked"), what="the acknowledgement")
            assert "no longer renews task" in second.log()
        assert begun(client) == {result.id: 2}


@pytest.mark.parametrize("queue", ["cpu", "io", "aio"])
def test_task_that_runs_through_an_outage_begins_once(own_server, tmp_path, queue):
    """Redis is away for longer than the timeout, and the worker reconnects late; its task is renewed all the same."""
    env = {"REDIS_URL": own_server.url, "NOTES_URL": os.environ["REDIS_URL"], **QUICK}
    with queue_worker(tmp_path, queue, concurrency=1, **env) as worker, plain() as notes:
        with app.connection_for_write(url=own_server.url) as connection:
            task_of(queue).apply_async((30.0,), queue=queue, connection=connection)
        wait_until(lambda: notes.llen("begun") == 1, what="its start")
        own_server.away(22.0)
        wait_until(lambda: notes.llen("done"), what="its end")
        with own_server.client() as client:
            wait_until(lambda: not client.hlen("unacked") and not client.llen(queue), what="its acknowledgement")
        assert notes.llen("begun") == 1
        assert "stands still" not in worker.log()


@pytest.mark.parametrize("queue", ["cpu", "io", "aio"])
def test_finished_task_is_acknowledged_while_its_worker_stops(tmp_path, queue):
    """Another one holds up the end: who kills the worker now makes only that one run again."""
    with queue_worker(tmp_path, queue, concurrency=2) as worker, plain() as client:
        for seconds in (6.0, 2.0):
            task_of(queue).apply_async((seconds,), queue=queue)
        wait_until(lambda: client.llen("begun") == 2, what="both starts")
        os.kill(worker.pid, signal.SIGTERM)
        wait_until(lambda: client.llen("done") == 1, what="the first end")
        wait_until(lambda: client.hlen("unacked") == 1 or client.llen("done") == 2, what="its acknowledgement")
        assert client.llen("done") == 1


@pytest.mark.parametrize("queue", ["cpu", "io", "aio"])
def test_message_that_kills_its_workers_becomes_a_dead_letter(tmp_path, queue):
    """After INTERLOCK_DELIVERIES_MAX workers it runs no more, and the queue goes on."""
    few = {"INTERLOCK_DELIVERIES_MAX": "2", **QUICK}
    with plain() as client:
        result = task_of(queue).apply_async((60.0,), queue=queue)
        for count in (1, 2):
            with queue_worker(tmp_path, queue, concurrency=1, **few) as worker:
                wait_until(lambda count=count: client.llen("begun") == count, what="its start")
                os.killpg(worker.pid, signal.SIGKILL)
        with queue_worker(tmp_path, queue, concurrency=1, **few):
            wait_until(lambda: client.llen("dead-letters") == 1, what="the dead letter")
            assert task_of(queue).apply_async((0.0,), queue=queue).get(timeout=60)
        assert begun(client)[result.id] == 2


@pytest.mark.parametrize("queue", ["cpu", "io", "aio"])
def test_countdown_beyond_the_timeout_runs_once(tmp_path, queue):
    with queue_worker(tmp_path, queue, concurrency=1, **QUICK), plain() as client:
        result = task_of(queue).apply_async((0.0,), queue=queue, countdown=2 * VISIBILITY)
        assert client.zcard("delayed") == 1
        assert result.get(timeout=90) == result.id
        assert begun(client) == {result.id: 1}
        assert not client.zcard("delayed")
