"""Unique tasks whose workers are killed: the name is held until the task has ended, or is a dead letter."""

import os
import signal

from awkward_tasks import held_up
from peers import wait_until
from queue_workers import queue_worker

KEY = "celery-taskset-meta-unique:tests.awkward.held_up:report-7"


def test_worker_that_is_killed_keeps_the_name_until_the_task_has_run_again(tmp_path, client):
    """And a retry after the loss of a worker's process is still the same one."""
    few = {"INTERLOCK_VISIBILITY_SECONDS": "2"}
    with queue_worker(tmp_path, "cpu", concurrency=1, **few) as lost:
        first = held_up.apply_async(queue="cpu", unique="report-7")
        wait_until(lambda: client.llen("begun"), what="the task's start")
        os.killpg(lost.pid, signal.SIGKILL)
        assert held_up.apply_async(queue="cpu", unique="report-7").id == first.id
    with queue_worker(tmp_path, "cpu", concurrency=1, **few):
        wait_until(lambda: client.llen("begun") == 2, what="the second run")
        assert held_up.apply_async(queue="cpu", unique="report-7").id == first.id
        client.rpush("go", 1)
        assert first.get(timeout=60) == first.id
    assert not client.exists(KEY)


def test_message_whose_workers_vanished_frees_the_name_as_a_dead_letter(tmp_path, client):
    few = {"INTERLOCK_VISIBILITY_SECONDS": "2", "INTERLOCK_DELIVERIES_MAX": "1"}
    with queue_worker(tmp_path, "cpu", concurrency=1, **few) as lost:
        held_up.apply_async(queue="cpu", unique="report-7").forget()
        wait_until(lambda: client.llen("begun"), what="the task's start")
        os.killpg(lost.pid, signal.SIGKILL)
    assert client.exists(KEY)
    with queue_worker(tmp_path, "io", concurrency=1, **few):
        wait_until(lambda: client.llen("dead-letters"), what="the dead letter")
    assert not client.exists(KEY)
