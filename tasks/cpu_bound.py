"""Work that keeps a processor busy: queue `cpu`, worker processes. The tutorial's `multiprocessing` program."""

import reprlib
import time
from typing import Any

from tasks.celery_app import app, checks
from tasks.support.clock import server_time
from tasks.support.output import place, say

NUMBER_MAX = 1_000_000_000
PRIMES_SPAN_MAX = 10_000_000  # a byte for each number: 10 MB
PARTS_MAX = 10_000


def _check(num: int, pause: float) -> None:
    checks.whole_number("num", num, -NUMBER_MAX, NUMBER_MAX)
    checks.pause_seconds(pause)


def _after_a_pause(pause: float) -> dict[str, Any]:
    began = server_time()
    time.sleep(pause)
    return {**place(), "began": began, "ended": server_time()}


@app.task(queue="cpu", check=_check)
def print_square(num: int, pause: float = 0.0) -> dict[str, Any]:
    """Print and return the square of a number, after a pause in seconds, and return where the task ran."""
    ran = _after_a_pause(pause)
    say(f"Square: {num * num}")
    return {"square": num * num, **ran}


@app.task(queue="cpu", check=_check)
def print_cube(num: int, pause: float = 0.0) -> dict[str, Any]:
    """Print and return the cube of a number, after a pause in seconds, and return where the task ran."""
    ran = _after_a_pause(pause)
    say(f"Cube: {num * num * num}")
    return {"cube": num * num * num, **ran}


def _check_range(start: int, stop: int) -> None:
    checks.whole_number("start", start, 0, NUMBER_MAX)
    if start is checks.LATER:
        start = 0
    checks.whole_number("stop", stop, start, start + PRIMES_SPAN_MAX)


@app.task(queue="cpu", check=_check_range)
def count_primes(start: int, stop: int) -> int:
    """Print and return how many primes p there are with start <= p < stop, by a sieve.

    C code fills the slices of the sieve, but under the interpreter's lock: threads do not sieve faster.
    """
    low = max(start, 2)
    sieve = bytearray([1]) * max(0, stop - low)
    divisor = 2
    while divisor * divisor < stop:
        first = max(divisor * divisor, -(-low // divisor) * divisor)
        sieve[first - low :: divisor] = bytes(len(range(first, stop, divisor)))
        divisor += 1
    count = sieve.count(1)
    say(f"Primes from {start:,} to {stop:,}: {count:,}")
    return count


def _check_counts(counts: list[int]) -> None:
    if counts is checks.LATER:
        return
    if not isinstance(counts, list) or len(counts) > PARTS_MAX:
        raise TypeError(f"counts must be a list of at most {PARTS_MAX:,} whole numbers, not {reprlib.repr(counts)}")
    for count in counts:
        checks.whole_number("each of counts", count, 0, NUMBER_MAX)


@app.task(queue="cpu", check=_check_counts)
def sum_counts(counts: list[int]) -> int:
    """Return the sum of what the tasks of a chord counted: the body of that chord."""
    return sum(counts)
