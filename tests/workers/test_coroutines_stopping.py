"""The pool for coroutines when it is stopped, killed and resized; and how many it runs at once, in which memory."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time

import coroutine_tasks as tasks_here
import psutil
import pytest
from coroutine_worker import coroutine_worker
from peers import plain, wait_until

import interlock
from tasks import app, wait
from workers.local_stack.children import ROOT

WAITS, WAIT_SECONDS, AT_ONCE, MEMORY_MAX = 5_000, 1.0, 100, 200 * 2**20  # 500 at once, on a machine of its own

# In a process of its own: who enqueues is told of each result, and here nobody would read that.
PUBLISH = f"""
from tasks import app, wait
with app.producer_or_acquire() as producer, producer.batch(500):
    print(*(wait.apply_async(({WAIT_SECONDS},), producer=producer).id for _ in range({WAITS})))
"""


def noted():
    with plain() as client:
        return client.lrange("noted", 0, -1)


@pytest.fixture
def lock():
    return interlock.Lock(lease=3.0)


def test_pool_grows_and_shrinks(tmp_path):
    with coroutine_worker(tmp_path, concurrency=1) as process:
        (name,) = app.control.inspect(timeout=30, limit=1).stats()
        results = [wait.delay(2.0) for _ in range(3)]
        app.control.pool_grow(2, destination=[name], reply=True, timeout=60)
        spans = sorted((each["began"], each["took"]) for each in (result.get(timeout=90) for result in results))
        assert spans[2][0] < spans[1][0] + spans[1][1], "two at once"
        pool = app.control.inspect(timeout=30, limit=1).stats()[name]["pool"]
        assert (pool["implementation"], pool["max-concurrency"]) == ("workers.coroutines:TaskPool", 3)
        app.control.pool_shrink(2, destination=[name])
        began = [result.get(timeout=90)["began"] for result in [wait.delay(0.3) for _ in range(3)]]
        assert all(later - earlier >= 0.3 for earlier, later in itertools.pairwise(sorted(began)))
        assert process.poll() is None


def test_sigterm_waits_for_what_runs(tmp_path):
    with coroutine_worker(tmp_path, concurrency=2) as process:
        results = [wait.delay(4.0) for _ in range(4)]
        wait_until(lambda: running() == 2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(90) == 0
    with plain() as client:
        assert (client.llen("aio"), client.hlen("unacked")) == (2, 0)
    assert sorted(result.state for result in results) == ["PENDING", "PENDING", "SUCCESS", "SUCCESS"]


def test_sigquit_gives_back_what_does_not_end_and_cleans_up(tmp_path, lock):
    with coroutine_worker(tmp_path, INTERLOCK_TASK_SECONDS_MAX="100") as process:
        result = tasks_here.stays.delay(lock, 60.0, "a")
        wait_until(lambda: noted() == ["a in"])
        process.send_signal(signal.SIGQUIT)
        process.wait(90)
    with plain() as client:
        assert (client.llen("aio"), client.hlen("unacked")) == (1, 0)
        assert noted() == ["a in", "a out"]
        assert lock.acquire(timeout=1.0)
        lock.release()
        client.delete("aio", "noted")
    assert not result.ready()


def test_tasks_of_a_killed_worker_run_on_another(tmp_path):
    with coroutine_worker(tmp_path) as first:
        results = [wait.delay(4.0) for _ in range(20)]
        wait_until(lambda: running() == 20)
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    with coroutine_worker(tmp_path) as second:
        assert {result.get(timeout=60)["pid"] for result in results} == {second.pid}


def running():
    return sum(len(each) for each in (app.control.inspect(timeout=30, limit=1).active() or {}).values())


def busy_seconds(client, process):
    """Processor time so far: of the whole machine, and of that what worker, Redis and this test took."""
    machine, server = psutil.cpu_times(), client.info("cpu")
    ours = sum(process.cpu_times()[:2]) + server["used_cpu_user"] + server["used_cpu_sys"] + time.process_time()
    return machine.user + machine.system, ours


def most_at_once(answers):
    edges = sorted(edge for each in answers for edge in ((each["began"], 1), (each["began"] + each["took"], -1)))
    now = most = 0
    for _, step in edges:
        now += step
        most = max(most, now)
    return most


@pytest.mark.long
def test_five_thousand_waits_of_a_second_overlap_in_200_mb(tmp_path, client, capsys):
    """From the moment when the worker begins to take them until the last result is stored and its task acknowledged."""
    ids = subprocess.check_output([sys.executable, "-c", PUBLISH], cwd=ROOT, text=True).split()
    assert len(ids) == WAITS
    with coroutine_worker(tmp_path, concurrency=WAITS) as process:
        began = process.alive_file.stat().st_mtime
        seen, memory = psutil.Process(process.pid), 0
        before, (machine, ours) = sum(seen.cpu_times()[:2]), busy_seconds(client, seen)
        while client.llen("aio") or client.hlen("unacked"):
            memory = max(memory, seen.memory_info().rss)
            assert time.time() < began + 300
            time.sleep(0.05)
        took, processor = time.time() - began, sum(seen.cpu_times()[:2]) - before
        machine_later, ours_later = busy_seconds(client, seen)
        elsewhere = max(0.0, machine_later - machine - (ours_later - ours)) / (psutil.cpu_count() * took)
    stored = [json.loads(each) for each in client.mget([f"celery-task-meta-{id}" for id in ids])]
    assert {each["status"] for each in stored} == {"SUCCESS"}
    answers = [each["result"] for each in stored]
    assert min(each["took"] for each in answers) >= WAIT_SECONDS - 0.01
    with capsys.disabled():
        print(
            f"\n  {WAITS:,} waits of {WAIT_SECONDS:g} s on one worker: {took:.1f} s while {elsewhere:.0%} of the "
            f"machine was busy elsewhere; {processor:.1f} s of processor time, {most_at_once(answers):,} at once, "
            f"{memory / 2**20:.0f} MB"
        )
    assert memory < MEMORY_MAX
    assert most_at_once(answers) > AT_ONCE
