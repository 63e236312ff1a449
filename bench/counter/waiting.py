"""How long does another process wait for a lock that one keeps as it counts? Its linger time and a section at most."""

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
    """How long its lock is kept while others wait and it is used, in seconds."""
    lock = counter.value.get_lock()
    seconds: float = lock._session.lingering.stations[lock._of.state].linger(lock._session.round_trip)
    return seconds


def _count(port: int, name: str, gate: Gate) -> tuple[float, float]:
    """Count until the window is over; the linger time, and what an update takes, in seconds."""
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
    """Take the lock again and again, at once or after a pause; what each acquire took, in ns."""
    mine = kept("interlock, linger=0", port, name)
    assert isinstance(mine, Strict)
    mine.add(0, 1)
    lock = mine.value.get_lock()
    pauses = random.Random(1)  # noqa: S311  no secret
    window = gate()
    took = []
    while (asked := time.monotonic_ns()) < window.stop:
        lock.acquire()
        took.append(time.monotonic_ns() - asked)
        lock.release()
        if pauses.random() < 0.5:  # asked at once, it waits for the whole linger time
            time.sleep(pauses.uniform(0, 0.03))
    return took


ROLES: tuple[Callable[..., Any], ...] = (_count, _ask)


def role(_: Any, number: int, port: int, name: str, gate: Gate) -> Any:
    """What the process with that number does."""
    return ROLES[number](port, name, gate)


@dataclass(frozen=True)
class Waited:
    """What one window showed. Times in milliseconds."""

    waits: int
    longest_ms: float
    p50_ms: float
    linger_ms: float  # the counting process's
    update_us: float  # what one of its updates takes, the waits included

    @property
    def bound_ms(self) -> float:
        """Linger time and section."""
        return self.linger_ms + self.update_us / 1000


def turn(name: str, server: Server, seconds: float) -> Waited:
    """One process counts, another asks, for so long."""
    with Crew(2, None) as crew:
        crew.prepare(role, server.port, name, numbered=True)
        _, ((linger, update), took) = crew.go(seconds)
    return Waited(len(took), max(took) / 1e6, median(took) / 1e6, linger * 1e3, update * 1e6)
