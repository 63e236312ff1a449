"""Measure the rows of the counter's table turn by turn, and what else belongs to it."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import TypeVar

from bench.counter import counting, growth, hot_path, queued, waiting
from bench.counter.counting import Case, Counted
from bench.counter.growth import Grown
from bench.counter.hot_path import Split
from bench.counter.queued import Queued
from bench.counter.waiting import Waited
from bench.harness import noise
from bench.harness.crew import CrewError
from bench.harness.noise import FAR_PINGS, Noise
from bench.harness.proxy import proxy
from bench.harness.running import order
from bench.harness.server import Server

Shown = TypeVar("Shown")
OWN_MS = 0.45  # the part of a round trip that the proxy takes besides its delays
TASKS_FULL = 100_000  # they take a minute or more, and run in the first turn only


@dataclass(frozen=True)
class Plan:
    """How much is measured. Times are in seconds."""

    turns: int = 3
    updates: int = 2_000_000  # by all processes together
    few: int = 3_000  # the same, for locks that ask the server for each update
    rtts_ms: tuple[float, ...] = (1, 5, 20)
    waiting: float = 3.0
    waiters: tuple[int, ...] = (1, 10, 100, 1000)
    queued: float = 1.2
    tasks: int = 2_000
    growth: int = 200_000  # updates
    hot: int = 8_000  # updates, repeated


QUICK = Plan(turns=1, updates=40_000, few=400, waiting=0.5, queued=0.4, tasks=100, growth=10_000, hot=2_000)

OURS = "interlock"


def cases(plan: Plan) -> list[Case]:
    """Return all rows; the row that others are compared with comes first."""
    many, few = plan.updates, plan.few
    return [
        Case(OURS, OURS, many),
        Case("multiprocessing.Value", "multiprocessing.Value", many, against=OURS),
        Case("threading.Lock", "threading.Lock", many, processes=1, threads=2, against=OURS),
        Case("redis-py", "redis-py", few, against=OURS),
        Case("interlock, linger=0", "interlock, linger=0", few, against=OURS),
        *(Case(f"interlock, {ms:g} ms", OURS, many, rtt_ms=ms, against=OURS, aim=0.85) for ms in plan.rtts_ms),
        Case("interlock, 4 processes", OURS, many // 2, processes=4, against=OURS, aim=0.8),
        Case("interlock, 8 processes", OURS, many // 2, processes=8, against=OURS, aim=0.8),
        Case("interlock, 2 x 4 threads", OURS, many // 2, threads=4, against=OURS, aim=0.5),
    ]


@dataclass(frozen=True)
class Turn:
    """What one turn of one row showed."""

    case: str
    number: int
    before: Noise
    after: Noise
    rtt_us: float  # p50 of PINGs just before
    counted: Counted


@dataclass
class Measured:
    """All that one run showed."""

    turns: list[Turn] = field(default_factory=list)
    waited: list[Waited] = field(default_factory=list)
    queued: list[Queued] = field(default_factory=list)
    grown: list[Grown] = field(default_factory=list)
    hot_path: dict[str, Split] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)  # the turn, the row, and why

    def rates(self, case: str) -> list[float]:
        """Return the updates a second of a row, turn by turn."""
        return [turn.counted.per_second for turn in self.turns if turn.case == case]

    def looks(self) -> list[Noise]:
        """Return all looks at the machine."""
        return [look for turn in self.turns for look in (turn.before, turn.after)]

    def wrong(self) -> list[str]:
        """Return the counters that did not end at 0."""
        turns = [f"{turn.case}: {turn.counted.left}" for turn in self.turns if turn.counted.left]
        return turns + [f"after {each.tasks:,} tasks: {each.left}" for each in self.grown if each.left]


def measure(plan: Plan, started: Server, tell: Callable[[str], None]) -> Measured:
    """Measure everything, in turns; note what failed in a turn, and go on with the rest."""
    measured = Measured()
    rows = {case.name: case for case in cases(plan)}
    ports = {0.0: started.port}

    def counted(case: Case, number: int) -> None:
        port = ports[case.rtt_ms]
        before, rtt = noise.look(started.port), median(noise.ping(port, FAR_PINGS))
        shown = counting.turn(case, f"counter-{case.name}-{number}", started, port)
        measured.turns.append(Turn(case.name, number + 1, before, noise.look(started.port), rtt, shown))

    with contextlib.ExitStack() as stack:
        for ms in plan.rtts_ms:
            ports[ms] = stack.enter_context(proxy(started.port, max(0.0, ms - OWN_MS) / 2000))
        for number in range(plan.turns):
            parts: dict[str, Callable[[], None]] = {}
            for row in order(list(rows), number):
                parts[row] = partial(counted, rows[row], number)
            for waiters in plan.waiters:
                queue = partial(queued.turn, waiters, f"queued-{waiters}-{number}", started, plan.queued)
                parts[f"{waiters:,} waiters queued"] = partial(_keep, measured.queued, queue)
            wait = partial(waiting.turn, f"waited-{number}", started, plan.waiting)
            parts["the longest wait"] = partial(_keep, measured.waited, wait)
            if not number or plan.tasks < TASKS_FULL:
                grow = partial(growth.turn, plan.tasks, plan.growth, f"grown-{number}", started)
                parts[f"{plan.tasks:,} finished tasks"] = partial(_keep, measured.grown, grow)
            for name, part in parts.items():
                tell(f"turn {number + 1} of {plan.turns}: {name}")
                try:
                    part()
                except CrewError as error:
                    measured.failed.append(f"turn {number + 1}, {name}: {error}")
                    tell(measured.failed[-1])
    tell("the hot path")
    measured.hot_path = hot_path.hot_path(started.port, "hot-path", plan.hot)
    return measured


def _keep(figures: list[Shown], measure: Callable[[], Shown]) -> None:
    figures.append(measure())
