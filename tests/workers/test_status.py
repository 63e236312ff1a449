"""`python -m workers status`: one screen that tells what runs and what does not, in a second or so."""

import os
import re
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest
import redis
from peers import wait_until

import interlock
from workers.local_stack.children import ROOT


def status(env, columns=150):
    """What it prints, how it ends, and the seconds that it takes."""
    began = time.monotonic()
    said = subprocess.run(
        [sys.executable, "-m", "workers", "status"],
        cwd=ROOT, env={**env, "COLUMNS": str(columns)}, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    said.seconds = time.monotonic() - began
    assert said.stderr == ""
    assert said.seconds < 30, "a second, on a machine that is not loaded"
    return said


def row(text, *parts):
    """The cells of the row that has these words."""
    (line,) = [line for line in text.splitlines() if all(part in line for part in parts)]
    return [cell.strip() for cell in line.strip("│").split("│")]


@pytest.fixture
def own(stack):
    with redis.Redis.from_url(stack.env["REDIS_URL"]) as client:
        yield client


def test_it_is_one_screen(stack, capsys):
    said = status(stack.env, columns=80)
    assert said.returncode == 0
    assert len(said.stdout.splitlines()) <= 24
    assert max(map(len, said.stdout.splitlines())) <= 80
    with capsys.disabled():
        print(f"\n  python -m workers status: {said.seconds:.2f} s")


def test_it_shows_workers_with_queue_pool_and_size(stack):
    said = status(stack.env)
    assert row(said.stdout, "cpu@")[1:5] == ["cpu", "prefork", "0", "2"]
    assert row(said.stdout, "│ io@")[1:5] == ["io", "thread", "0", "16"]
    assert row(said.stdout, "aio@")[1:5] == ["aio", "coroutines", "0", "1000"]
    assert "cpu: 0 waiting  io: 0 waiting  aio: 0 waiting" in said.stdout
    assert re.search(r"Redis +redis://127.0.0.1:\d+/0, (valkey|redis) [\d.]+, prefix \(none\)", said.stdout)


def test_it_shows_what_runs_and_what_waits(stack, own):
    code = """
import interlock, sys
from tasks import await_event
go = interlock.Event(name="go-on")
sent = [await_event.apply_async((go,), queue="cpu") for _ in range(3)]
print(flush=True)
sys.stdin.readline()
go.set()
for result in sent:
    result.get(timeout=60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=stack.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as producer:
        producer.stdout.readline()
        wait_until(lambda: own.llen("cpu") == 1, what="two tasks' place in the worker")
        shown = []
        wait_until(
            lambda: shown.append(status(stack.env)) or row(shown[-1].stdout, "cpu@", "prefork")[3] == "2",
            what="two tasks' start",
        )
        producer.communicate(b"\n", timeout=120)
    assert producer.returncode == 0
    said = shown[-1].stdout
    assert "cpu: 1 waiting" in said
    worker = row(said, "cpu@", "prefork")[0]
    (*_, first) = [line for line in said.splitlines() if "await_event" in line]
    assert [cell.strip() for cell in first.strip("│").split("│")][0::2][:2] == ["tasks.signals.await_event", worker]
    assert "go-on" in first
    wait_until(lambda: own.hlen("unacked") == own.llen("cpu") == 0, what="the tasks' end")


def test_it_shows_who_holds_and_how_many_wait(stack, own):
    lock = interlock.Lock(name="shown", client=own)
    waiters = [threading.Thread(target=lambda: lock.acquire() and lock.release()) for _ in range(2)]
    with lock, interlock.Semaphore(3, name="seats", client=own):
        for each in waiters:
            each.start()
        wait_until(lambda: len(lock.statistics().waiters) == 2)
        said = status(stack.env)
    for each in waiters:
        each.join()
    kind, name, holder, waiting = row(said.stdout, "shown")
    assert (kind, name, waiting) == ("Lock", "shown", "2")
    assert holder.endswith(f":{os.getpid()}")
    assert row(said.stdout, "seats")[0] == "Semaphore"


def test_worker_that_does_not_answer_is_shown_so(stack):
    (cpu,) = [child for child in stack.children if child.name == "cpu"]
    process = psutil.Process(cpu.process.pid)
    process.send_signal(signal.SIGSTOP)
    try:
        said = status(stack.env)
    finally:
        process.send_signal(signal.SIGCONT)
    assert said.returncode == 1
    assert row(said.stdout, "cpu@")[1] == "no answer"
    assert row(said.stdout, "│ io@")[1] == "io"
    assert said.stdout.splitlines()[-1].startswith("No worker takes tasks of queue cpu: start one with `make up`")


def test_redis_alone_is_shown_so():
    said = status({**os.environ, "INTERLOCK_FLOWER_PORT": "1025"})
    assert said.returncode == 1
    for part in ("Workers   none", "does not answer", "Running   nothing", "Locks     none in use"):
        assert part in said.stdout
    assert said.stdout.count("No worker takes tasks of queue") == 3
