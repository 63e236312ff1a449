"""A process that ends in order gives back what it holds and stores what it wrote, however it was started."""

import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

import interlock

PROGRAM = Path(__file__).parent.parent / "ending_program.py"
ROOT = PROGRAM.parent.parent
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
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60, check=False,
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
