"""Measure what it costs one process to acquire and to release a lock that nobody else wants."""

import time
from dataclasses import dataclass
from statistics import median

from bench.harness.crew import Gate
from bench.harness.noise import quantile
from bench.locks import adapters

WARM_UP = 5  # cycles: they open connections and load scripts


def cycles(lock: str, port: int, most: int, gate: Gate) -> list[int]:
    """Acquire and release until the window is over, at most `most` times; return how long each cycle took, in ns."""
    entry = adapters.LOCKS[lock]

    async def body() -> list[int]:
        mine = entry.make(port, f"{lock}-uncontended")
        for _ in range(WARM_UP):
            await mine.acquire()
            await mine.release()
        window = gate()
        took: list[int] = []
        before = time.monotonic_ns()
        while not took or (before < window.stop and len(took) < most):
            await mine.acquire()
            await mine.release()
            now = time.monotonic_ns()
            took.append(now - before)
            before = now
        await mine.close()
        return took

    return adapters.drive(entry, body())


@dataclass(frozen=True)
class Uncontended:
    """What one window showed."""

    count: int  # cycles
    per_second: float
    p50_us: float  # of a cycle
    p10_us: float  # of a cycle; other work on the machine disturbs it least

    @classmethod
    def of(cls, took: list[int]) -> "Uncontended":
        """Compute the figures from how long each cycle took, in ns."""
        return cls(len(took), len(took) / sum(took) * 1e9, median(took) / 1000, quantile(took, 0.1) / 1000)


def round_trips(near: Uncontended, far: Uncontended, near_rtt_us: float, far_rtt_us: float) -> float:
    """Return the round trips of a cycle: what the proxy adds to a cycle, over what it adds to a PING."""
    return (far.p50_us - near.p50_us) / (far_rtt_us - near_rtt_us)
