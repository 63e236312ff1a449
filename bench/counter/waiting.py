"""Measure how long a process waits for a lock that another keeps as it counts: linger time and a section, at most."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.counter.counting import Interlock, Strict, kept
from bench.harness.crew import Crew, Gate
from bench.harness.server import Server

BURST = 200  # updates between two looks at the clock


def lingering(counter: Interlock) -> float:
    """Return how long the counter's process keeps its lock while it uses it and others wait, in seconds."""
    lock = counter.value.get_lock()
    seconds: float = lock._session.lingering.lingering_locks[lock._resource.state].linger(
        lock._session.acquiring.round_trip
    )
    return seconds


def _count(port: int, name: str, gate: Gate) -> tuple[float, float]:
    """Count until the window is over; return the linger time and the time of an update, in seconds."""
    mine = kept("interlock", port, name)
    assert isinstance(mine, Interlock)
    mine.add(0, 1)
    value = mine.value
    window = gate()
    bursts, linger = 0, 0.0
    while time.monotonic_ns() < window.stop:
        for _ in range(BURST):
            with value.get_lock():
                value.value += 1
        bursts += 1
        linger = max(linger, lingering(mine))
    return linger, window.seconds / (bursts * BURST)


def _ask(port: int, name: str, gate: Gate) -> list[int]:
    """Take the lock again and again, at once or after a pause; return how long each acquire took, in ns."""
    mine = kept("interlock, linger=0", port, name)
    assert isinstance(mine, Strict)
    mine.add(0, 1)
    lock = mine.value.get_lock()
    pauses = random.Random(1)  # noqa: S311  nothing here is secret
    window = gate()
    took = []
    while (asked := time.monotonic_ns()) < window.stop:
        lock.acquire()
        took.append(time.monotonic_ns() - asked)
        lock.release()
        if pauses.random() < 0.5:  # without a pause, every acquire waits for the whole linger time
            time.sleep(pauses.uniform(0, 0.03))
    return took


ROLES: tuple[Callable[..., Any], ...] = (_count, _ask)


def role(_: Any, number: int, port: int, name: str, gate: Gate) -> Any:
    """Run the part of a process, by its number: the first counts, the second asks."""
    return ROLES[number](port, name, gate)


@dataclass(frozen=True)
class Waited:
    """What one window showed. Times are in milliseconds unless a name says otherwise."""

    waits: int
    longest_ms: float
    p50_ms: float
    linger_ms: float  # of the process that counts
    update_us: float  # how long one of its updates takes, waits included

    @property
    def bound_ms(self) -> float:
        """Return linger time and section together."""
        return self.linger_ms + self.update_us / 1000


def turn(name: str, server: Server, seconds: float) -> Waited:
    """Have one process count and another ask for the lock, for that many seconds."""
    with Crew(2, None) as crew:
        crew.prepare(role, server.port, name, numbered=True)
        _, ((linger, update), took) = crew.go(seconds)
    return Waited(len(took), max(took) / 1e6, median(took) / 1e6, linger * 1e3, update * 1e6)
