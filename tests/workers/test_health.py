"""The probe finds a worker dead that is stuck, but not one whose Redis is away for a while: then after long alone."""

import subprocess
import sys
import time

import pytest
from celery import Celery
from peers import wait_until
from queue_workers import queue_worker

from workers.local_stack.children import ROOT

LIMIT = {"INTERLOCK_TASK_SECONDS_MAX": "5"}  # ten seconds later, a task that still runs is overdue


def is_alive(file):
    """What the probe says."""
    done = subprocess.run([sys.executable, str(ROOT / "workers" / "liveness.py"), str(file)], check=False)
    return done.returncode == 0


@pytest.fixture
def start(tmp_path, own_server):
    """Starts a worker on that server, with the tasks of stuck_tasks, and gives its file."""

    def started(queue, concurrency=1, **variables):
        env = {"REDIS_URL": own_server.url, **LIMIT, **variables}
        return queue_worker(tmp_path, queue, concurrency=concurrency, include="stuck_tasks", **env)

    return started


def file_of(worker, tmp_path):
    return tmp_path / f"{worker.node}.alive"


def send(server, name, *args, queue="io"):
    with Celery(broker=server.url, set_as_current=False) as plain:
        plain.conf.task_default_queue = queue
        plain.send_task(f"tests.stuck.{name}", args, queue=queue)


@pytest.mark.parametrize("queue", ["cpu", "io", "aio"])
def test_worker_whose_redis_is_away_for_a_while_stays_alive(tmp_path, own_server, start, queue):
    with start(queue, INTERLOCK_OUTAGE_SECONDS_MAX="60") as worker:
        file = file_of(worker, tmp_path)
        own_server.kill()
        began = time.time()
        wait_until(lambda: file.stat().st_mtime > began + 10, within=40, what="a touch amid the outage")
        own_server.start()
        send(own_server, "endless", 0, queue=queue)
        wait_until(lambda: "tests.stuck.endless" in worker.log(), within=60, what="a task, once Redis is back")
        assert is_alive(file)
        assert "not healthy" not in worker.log()


@pytest.mark.parametrize("queue", ["cpu", "io", "aio"])
def test_worker_that_is_without_redis_for_long_is_dead_until_redis_is_back(tmp_path, own_server, start, queue):
    with start(queue, INTERLOCK_OUTAGE_SECONDS_MAX="10") as worker:
        file = file_of(worker, tmp_path)
        own_server.kill()
        wait_until(lambda: not file.exists(), within=60, what="the end of its health")
        assert not is_alive(file)
        assert "this worker is not healthy: it has been without Redis for 1" in worker.log()
        own_server.start()
        wait_until(file.exists, within=90, what="its health")
        assert is_alive(file)
        assert "this worker is healthy again" in worker.log()
        assert worker.poll() is None


def test_worker_is_dead_when_overdue_tasks_hold_all_its_threads(tmp_path, own_server, start):
    with start("io", concurrency=2) as worker:
        file = file_of(worker, tmp_path)
        send(own_server, "endless", 90)
        began = time.time()
        wait_until(lambda: file.stat().st_mtime > began + 20, within=60, what="a touch beside one overdue task")
        send(own_server, "endless", 90)
        wait_until(lambda: not file.exists(), within=60, what="the end of its health")
        assert "not healthy: its 2 tasks have all run past their time limits" in worker.log()


def test_worker_is_dead_when_a_coroutine_blocks_its_loop(tmp_path, own_server, start):
    with start("aio", concurrency=10) as worker:
        file = file_of(worker, tmp_path)
        send(own_server, "blocking", 40, queue="aio")
        wait_until(lambda: not file.exists(), within=60, what="the end of its health")
        assert "not healthy: a coroutine has blocked the event loop for 1" in worker.log()
        wait_until(file.exists, within=60, what="its health, once the coroutine has ended")


@pytest.mark.long
def test_worker_is_dead_when_its_own_loop_stands_still(tmp_path, own_server, start):
    """It takes a minute; all pools have the same loop."""
    with start("io") as worker, Celery(broker=own_server.url, set_as_current=False) as plain:
        file = file_of(worker, tmp_path)
        plain.control.broadcast("stand_still", arguments={"seconds": 90.0})
        wait_until(lambda: not file.exists(), within=120, what="the end of its health")
        assert "not healthy: its loop has stood still for 6" in worker.log()
        wait_until(file.exists, within=90, what="its health, once the loop turns")
