"""What every task of the bench does: wait for BENCH_SECONDS, then note its start and end in the file BENCH_LEDGER.

The programs in this folder run in other environments than the bench, so they import nothing of the project or of the
bench. The file holds three 64-bit integers a task: how often it ran, and when it last began and ended, in ns on
CLOCK_MONOTONIC. `bench/queue/ledger.py` reads them.
"""

import asyncio
import mmap
import os
import time
from pathlib import Path

KEPT = os.environ["BENCH_RESULTS"] == "kept"
SECONDS = float(os.environ["BENCH_SECONDS"])
URL = os.environ["REDIS_URL"]

with Path(os.environ["BENCH_LEDGER"]).open("r+b") as file:
    _cells = memoryview(mmap.mmap(file.fileno(), 0)).cast("q")  # shared with the processes that a worker forks


def work(number: int) -> int:
    """Wait, note the run, and return the task's number."""
    began = time.monotonic_ns()
    if SECONDS:
        time.sleep(SECONDS)
    _note(number, began)
    return number


async def work_async(number: int) -> int:
    """Do the same in a coroutine."""
    began = time.monotonic_ns()
    if SECONDS:
        await asyncio.sleep(SECONDS)
    _note(number, began)
    return number


def _note(number: int, began: int) -> None:
    _cells[3 * number] += 1
    _cells[3 * number + 1] = began
    _cells[3 * number + 2] = time.monotonic_ns()
