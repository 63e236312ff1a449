"""Measure a lock that several processes want all the time: its rate, hand-over, fairness, and whether it excludes."""

import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.harness.crew import Gate, Window
from bench.harness.noise import quantile
from bench.locks import adapters

Section = tuple[int, int, int]
"""When a process called acquire, when it entered, and when it called release; in ns on CLOCK_MONOTONIC."""


def sections(lock: str, port: int, hold: float, gate: Gate) -> list[Section]:
    """Acquire, hold for `hold` seconds, release, and begin again without a pause, until the window is over."""
    entry = adapters.LOCKS[lock]

    async def body() -> list[Section]:
        mine = entry.make(port, f"{lock}-contended")
        await mine.acquire()
        await mine.release()
        window = gate()
        made: list[Section] = []
        while (asked := time.monotonic_ns()) < window.stop or not made:
            await mine.acquire()
            entered = time.monotonic_ns()
            time.sleep(hold)  # it may block an event loop: nothing else is due there within a millisecond
            released = time.monotonic_ns()
            await mine.release()
            made.append((asked, entered, released))
        await mine.close()
        return made

    return adapters.drive(entry, body())


@dataclass(frozen=True)
class Contended:
    """What one window showed. Times in milliseconds."""

    sections: int  # all of them, also those that ended after the window
    per_second: float
    overlaps: int  # sections that began before the one before was released; a lock has none
    hold_p50_ms: float
    handover_p50_ms: float  # from one process's call of release to another's entry; nan if there was none
    handover_p99_ms: float
    changed: float  # entries that followed another process's section, as a part of all entries
    jain: float  # fairness: 1 if all processes had as many sections, 1/n if one had all
    longest_wait_ms: float  # within the window
    fair_share_ms: float  # n * (hold + hand-over): how long it takes until each process had its turn

    @classmethod
    def of(cls, made: Sequence[Sequence[Section]], window: Window) -> "Contended":
        """Compute the figures of a window from the sections of each process."""
        ended = [sum(released <= window.stop for _, _, released in mine) for mine in made]
        order = sorted((entered, released, who) for who, mine in enumerate(made) for _, entered, released in mine)
        pairs = list(itertools.pairwise(order))
        counted = [(last, next) for last, next in pairs if next[0] <= window.stop]
        handovers = [(next[0] - last[1]) / 1e6 for last, next in counted if last[2] != next[2]]
        hold = median((released - entered) / 1e6 for entered, released, _ in order)
        p50 = quantile(handovers, 0.5)
        waits = (min(entered, window.stop) - asked for mine in made for asked, entered, _ in mine)
        return cls(
            sections=len(order),
            per_second=sum(ended) / window.seconds,
            overlaps=sum(next[0] < last[1] for last, next in pairs),
            hold_p50_ms=hold,
            handover_p50_ms=p50,
            handover_p99_ms=quantile(handovers, 0.99),
            changed=len(handovers) / len(counted) if counted else math.nan,
            jain=jain(ended),
            longest_wait_ms=max(waits) / 1e6,
            fair_share_ms=len(made) * (hold + p50),
        )


def jain(shares: Sequence[float]) -> float:
    """Return Jain's index of fairness (Jain, Chiu, Hawe 1984): 1 if all are equal, 1/n if one has all."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else math.nan
