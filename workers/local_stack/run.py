"""`python -m workers run PROGRAM`: runs one program of the tutorial on the stack that is up."""

import subprocess
import sys
import time

import redis
from kombu.exceptions import OperationalError

from workers.local_stack.children import ROOT, ended_with_parent
from workers.local_stack.redis_server import StackError
from workers.local_stack.status import unserved_queues
from workers.local_stack.stopping import uninterrupted

CHECK_EVERY = 2.0  # seconds between two looks at the queues' workers
BACK_WITHIN = 30.0  # seconds: a restarted container, or a worker whose Redis is back, takes less


def run_program(name: str, *arguments: str) -> int:
    """Run a program, and return its exit code. Raises StackError if a queue has no worker, or loses its last."""
    _require_workers()
    process = None
    try:
        with uninterrupted():
            process = subprocess.Popen(
                [sys.executable, "-m", f"examples.{name}", *arguments], cwd=ROOT, preexec_fn=ended_with_parent(),
                process_group=0,  # Ctrl-C reaches us alone, who end it: Python, as it starts, would print a traceback
            )  # fmt: skip
        return _watched(process)
    finally:
        if process is not None:
            process.kill()
            process.wait()


def _require_workers() -> None:
    until = time.monotonic() + BACK_WITHIN
    while True:
        missing, silent = unserved_queues()
        if not missing:
            return
        if not silent or time.monotonic() > until:
            raise StackError(f"no worker takes tasks of queue {', '.join(missing)}: start them with `make up`")
        time.sleep(0.5)


def _watched(process: subprocess.Popen[bytes]) -> int:
    seen = time.monotonic()  # the last moment when each queue had a worker
    while True:
        try:
            return process.wait(CHECK_EVERY)
        except subprocess.TimeoutExpired:
            pass
        try:
            missing, _ = unserved_queues()
        except (StackError, redis.RedisError, OperationalError):
            missing = []  # Redis is away: the program itself says so, and waits
        if not missing:
            seen = time.monotonic()
        elif time.monotonic() - seen > BACK_WITHIN:
            raise StackError(f"no worker takes tasks of queue {', '.join(missing)} any more: its log says why")
