"""Work that keeps a processor busy: queue `cpu`, worker processes. The tutorial's `multiprocessing` program."""

import time
from typing import Any

from tasks import checks
from tasks.app import app
from tasks.clock import server_time
from tasks.output import place, say

NUMBER_MAX = 1_000_000_000
PRIMES_SPAN_MAX = 1_000_000


def _check(num: int, pause: float) -> None:
    checks.whole_number("num", num, -NUMBER_MAX, NUMBER_MAX)
    checks.pause_seconds(pause)


def _after_a_pause(pause: float) -> dict[str, Any]:
    began = server_time()
    time.sleep(pause)
    return {**place(), "began": began, "ended": server_time()}


@app.task(check=_check)
def print_square(num: int, pause: float = 0.0) -> dict[str, Any]:
    """Print and return the square of a number, and where it was computed, after a pause in seconds."""
    ran = _after_a_pause(pause)
    say(f"Square: {num * num}")
    return {"square": num * num, **ran}


@app.task(check=_check)
def print_cube(num: int, pause: float = 0.0) -> dict[str, Any]:
    """Print and return the cube of a number, and where it was computed, after a pause in seconds."""
    ran = _after_a_pause(pause)
    say(f"Cube: {num * num * num}")
    return {"cube": num * num * num, **ran}


def _check_range(start: int, stop: int) -> None:
    checks.whole_number("start", start, 0, NUMBER_MAX)
    if start is checks.LATER:
        start = 0
    checks.whole_number("stop", stop, start, start + PRIMES_SPAN_MAX)


@app.task(check=_check_range)
def count_primes(start: int, stop: int) -> int:
    """How many primes p there are with start <= p < stop, by a sieve."""
    low = max(start, 2)
    sieve = bytearray([1]) * max(0, stop - low)
    divisor = 2
    while divisor * divisor < stop:
        first = max(divisor * divisor, -(-low // divisor) * divisor)
        sieve[first - low :: divisor] = bytes(len(range(first, stop, divisor)))
        divisor += 1
    return sum(sieve)
