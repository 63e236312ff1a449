"""The lesson's work: the same pieces on every pool, enqueued as a producer enqueues them, and awaited.

To be imported when REDIS_URL is set: the tasks' settings read it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from celery.exceptions import TimeoutError as NotInTimeError

from bench import lesson_tasks  # noqa: F401  the app is to know its task
from bench.lesson_pools import MANY, ONE, POOLS, Memory, Pool, memory, worker
from tasks import app
from workers.local_stack.children import Child
from workers.local_stack.redis_server import StackError

DONE_WITHIN = 120.0  # seconds for all pieces
WARM = 0.1  # seconds that each piece waits before the clock runs: long enough for all of a pool to have one
LOOK = 0.25  # seconds
CPU, IO = "cpu", "io"  # the kinds of work


@dataclass(frozen=True)
class Plan:
    """What is done."""

    at_once: tuple[int, ...] = (1, 2, 4, 8)
    pieces: int = 8  # of each kind: done one after the other, or so many at once
    side: int = 60  # pixels, each way, of a CPU-bound piece: a tenth of a second and more
    pause: float = 0.2  # seconds that an I/O-bound piece waits
    turns: int = 3  # of which the median counts
    many: int = 500  # that wait at once, in one process
    many_pause: float = 1.0  # seconds that each of them waits


QUICK = Plan(at_once=(2,), pieces=4, side=40, pause=0.4, turns=1, many=40, many_pause=0.5)


@dataclass(frozen=True)
class Ran:
    """All pieces of one kind on one worker."""

    pool: str
    at_once: int
    kind: str
    seconds: tuple[float, ...]  # a turn: from the first enqueued to the last result
    processes: int  # that did a piece, of all turns

    @property
    def median(self) -> float:
        """Seconds."""
        return median(self.seconds)


@dataclass(frozen=True)
class Weighed:
    """What a worker took after its work."""

    pool: str
    at_once: int
    memory: Memory


@dataclass(frozen=True)
class Many:
    """Very many that wait at once, in one process."""

    pool: str
    at_once: int
    seconds: float  # from the first enqueued to the last result, of one turn
    memory: Memory  # afterwards


@dataclass(frozen=True)
class Measured:
    """The whole lesson."""

    ran: list[Ran]
    weighed: list[Weighed]
    many: list[Many]
    others: list[float]  # how busy the machine was before each worker was started: percent of all its processors

    def wrong(self) -> list[str]:
        """Rows whose pieces ran in other processes than those that the pool is to have: no lesson can be drawn."""
        wide = {pool.name for pool in POOLS if pool.processes}

        def right(ran: Ran) -> bool:
            if ran.pool not in wide:
                return ran.processes == 1
            return min(2, ran.at_once) <= ran.processes <= ran.at_once

        return [
            f"{ran.pool}, {ran.at_once} at once, {ran.kind}: {ran.processes} processes took part"
            for ran in self.ran
            if not right(ran)
        ]


def rows(plan: Plan) -> list[tuple[Pool, int]]:
    """Each worker that does all the work: its pool, and how many at once."""
    return [(ONE, 1), *((pool, at_once) for pool in POOLS for at_once in plan.at_once)]


def measure(plan: Plan, folder: Path, tell: Callable[[str], None]) -> Measured:
    """Start each worker in turn, and have it do all the work. Raises StackError if one ends, or takes too long."""
    measured = Measured([], [], [], [])
    for pool, at_once in rows(plan):
        tell(f"{pool.name}, {at_once} at once")
        measured.others.append(psutil.cpu_percent(LOOK))
        with worker(pool, at_once, folder) as child:
            both = {CPU: (pool.cpu, _tile(plan.side)), IO: (pool.io, (plan.pause,))}
            _do(child, at_once, pool.io, (WARM,))
            _do(child, at_once, pool.cpu, _tile(1))
            for kind, (task, arguments) in both.items():
                turns = [_do(child, plan.pieces, task, arguments) for _ in range(plan.turns)]
                seconds = tuple(took for took, _ in turns)
                processes = set().union(*(those for _, those in turns))
                measured.ran.append(Ran(pool.name, at_once, kind, seconds, len(processes)))
            measured.weighed.append(Weighed(pool.name, at_once, memory(child)))
    for pool in MANY:
        tell(f"{pool.name}, {plan.many} at once")
        measured.others.append(psutil.cpu_percent(LOOK))
        with worker(pool, plan.many, folder) as child:
            _do(child, plan.many, pool.io, (WARM,))
            took, _ = _do(child, plan.many, pool.io, (plan.many_pause,))
            measured.many.append(Many(pool.name, plan.many, took, memory(child)))
    return measured


def _tile(side: int) -> tuple[int, ...]:
    """A tile amid the set, each pixel of which takes all rounds: pieces of one size."""
    return 2200, 1000, side, 4096, 2048


def _do(child: Child, pieces: int, task: str, arguments: tuple[Any, ...]) -> tuple[float, set[tuple[str, int]]]:
    """Enqueue so many, and wait for all: seconds, and host and process id of each that did one."""
    piece = app.tasks[task]
    began = time.monotonic()
    results = [piece.delay(*arguments) for _ in range(pieces)]
    try:
        places = [
            result.get(timeout=DONE_WITHIN) for result in results
        ]  # a group's own get may look half a second late
    except NotInTimeError as error:
        why = f"{child.name} did not do its work within {DONE_WITHIN:.0f} seconds" if child.running else child.ending()
        raise StackError(why) from error
    took = time.monotonic() - began
    for result in results:
        result.forget()
    return took, {(place["host"], place["pid"]) for place in places}
