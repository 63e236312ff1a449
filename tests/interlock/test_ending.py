"""A process that ends in order gives back what it holds and stores what it wrote, however it was started."""

import os
import subprocess
import sys
import threading
import time
import uuid
from operator import attrgetter

import pytest
import redis
from paths import PYTHONPATH, SUPPORT
from peers import wait_until

import interlock
from interlock._session.acquiring import Acquiring
from interlock._session.process import _sessions, session
from workers.local_stack import redis_server
from workers.local_stack.children import ROOT

PROGRAM = SUPPORT / "ending_program.py"
LEASE = 120.0  # seconds: nobody waits for that long here
QUICK = [
    ("Process", "forkserver"), ("Pool", "forkserver"), ("ProcessPoolExecutor", "forkserver"),
    ("thread", "forkserver"), ("forked", "forkserver"), ("Process", "spawn"), ("ProcessPoolExecutor", "fork"),
    ("os.fork, sys.exit", "fork"), ("os.fork, os._exit", "fork"), ("billiard", "fork"),
]  # fmt: skip
SLOW = [
    *((way, "forkserver") for way in ("subclass", "nested", "daemon", "SystemExit", "executor")),
    ("Pool, one task a child", "forkserver"), ("ProcessPoolExecutor, one task a child", "forkserver"),
    *((way, "fork") for way in ("Process", "subclass", "Pool", "thread", "forked", "Pool, one task a child")),
    *((way, "spawn") for way in ("subclass", "Pool", "ProcessPoolExecutor", "thread")),
]  # fmt: skip


@pytest.mark.parametrize(("way", "start"), [*QUICK, *(pytest.param(*each, marks=pytest.mark.long) for each in SLOW)])
def test_child_that_ends_in_order_loses_no_update_and_keeps_no_lock(way, start):
    """The session was made before the child began: at the import of its main module, and in the parent."""
    name = f"ending-{uuid.uuid4().hex[:8]}"
    counter = interlock.Value("q", 0, name=f"{name}-counter", lock=interlock.RLock(name=name, linger=0))
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(PROGRAM), way, start, name, str(LEASE)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": PYTHONPATH}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    kept = [interlock.Lock(name=f"{name}-kept-{number}").acquire(blocking=False) for number in range(2)]
    assert kept == [True, True], "a lock is still held by a child that has ended"
    assert time.monotonic() < began + LEASE, "a lease may have run out meanwhile"
    try:
        assert counter.value == 2 * 20
    finally:
        counter.unlink()
        interlock.Event(name=f"{name}-go").clear()


def notified(client, name):
    """Wait for a Condition of that lock."""
    condition = interlock.Condition(interlock.Lock(name=name, client=client))
    condition.acquire()
    condition.wait()


@pytest.mark.parametrize(
    ("wait", "waits", "attribute"),
    [
        (
            lambda client, name: interlock.Lock(name=name, client=client).acquire(),
            interlock.Lock,
            attrgetter("arrival"),
        ),
        (
            lambda client, name: interlock.Lock(name=name, client=client).acquire(timeout=60),
            interlock.Lock,
            attrgetter("arrival"),
        ),
        (
            lambda client, name: interlock.Semaphore(1, name=name, client=client).acquire(),
            interlock.Semaphore,
            attrgetter("arrival"),
        ),
        (
            lambda client, name: interlock.RWLock(name=name, client=client).reader.acquire(),
            interlock.RWLock,
            attrgetter("arrival"),
        ),
        (notified, None, attrgetter("condition")),
    ],
)
def test_threads_that_wait_while_all_is_given_back_are_told(monkeypatch, wait, waits, attribute):
    """They would wait for ever: nothing renews their places. Each place is given up once."""
    client, name = redis.Redis.from_url(os.environ["REDIS_URL"]), f"ending-{uuid.uuid4().hex[:8]}"
    held = None if waits is None else waits(name=name)
    held = getattr(held, "writer", held)
    if held is not None:
        held.acquire()
    raised, left = [], []
    leave = Acquiring.leave

    def leave_noted(acquiring, wait):
        left.append(wait.id)
        return leave(acquiring, wait)

    monkeypatch.setattr(Acquiring, "leave", leave_noted)

    def run():
        with pytest.raises(interlock.InterlockError, match=f"'{name}' was not acquired: .* acquire it again") as caught:
            wait(client, name)
        raised.append(caught.value)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    holdings = session(client).holdings
    wait_until(lambda: len(holdings.waits) == 3 and all(attribute(each) for each in holdings.waits.values()))
    _sessions.pop(client).close()
    for thread in threads:
        thread.join(30)
    assert len(raised) == 3
    assert len(left) == len(set(left)) == 3
    if held is not None:
        wait_until(lambda: not held.statistics().waiters if hasattr(held, "statistics") else True)
        held.release()
    assert interlock.Lock(name=f"{name}-again", client=client).acquire(timeout=5), "a later call begins anew"
    interlock.Lock(name=f"{name}-again", client=client).release()
    session(client).close()


def test_threads_that_wait_are_told_also_when_redis_is_away(tmp_path):
    """Another lock, which the process holds, cannot be given back."""
    port = redis_server.free_port()
    server = redis_server.start(tmp_path, port)
    client, other = redis.Redis(port=port), redis.Redis(port=port)
    held, wanted = interlock.Lock(client=client, linger=0), interlock.Lock(client=client, linger=0)
    taken = interlock.Lock(name=wanted.name, client=other, linger=0)
    held.acquire(), taken.acquire()
    raised = []

    def run():
        with pytest.raises(interlock.InterlockError, match="was not acquired") as caught:
            wanted.acquire()
        raised.append(caught.value)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        wait_until(lambda: any(each.arrival for each in session(client).holdings.waits.values()))
    finally:
        server.stop(0)
    _sessions.pop(client).close()
    thread.join(30)
    assert len(raised) == 1
    _sessions.pop(other).close()
