"""Do the lesson's work: enqueue the same pieces on every pool, as a producer does, and wait for them.

Import this module when REDIS_URL is set: the tasks' settings read it. A piece is one run of a task.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from celery.exceptions import TimeoutError as NotInTimeError

from bench.lesson import async_tasks  # noqa: F401  it registers its task with the app
from bench.lesson.pools import MANY, ONE, POOLS, Memory, Pool, memory, worker
from tasks import app
from workers.local_stack.children import Child
from workers.local_stack.redis_server import StackError

DONE_WITHIN = 120.0  # seconds that all pieces may take
WARM = 0.1  # seconds that each first piece waits, so that every thread or process of the pool gets one
LOOK = 0.25  # seconds for which the machine is watched
CPU, IO = "cpu", "io"  # the kinds of work


@dataclass(frozen=True)
class Plan:
    """How much work is done."""

    at_once: tuple[int, ...] = (1, 2, 4, 8)
    pieces: int = 8  # of each kind
    side: int = 60  # pixels, each way, of a CPU-bound piece: a tenth of a second and more
    pause: float = 0.2  # seconds that an I/O-bound piece waits
    turns: int = 3  # the median of them counts
    many: int = 500  # pieces that wait at once, in one process
    many_pause: float = 1.0  # seconds that each of them waits


QUICK = Plan(at_once=(2,), pieces=4, side=40, pause=0.4, turns=1, many=40, many_pause=0.5)


@dataclass(frozen=True)
class Ran:
    """What all pieces of one kind took on one worker."""

    pool: str
    at_once: int
    kind: str
    seconds: tuple[float, ...]  # of each turn, from the first enqueued piece to the last result
    processes: int  # that did a piece in any turn

    @property
    def median(self) -> float:
        """Return the median of all turns, in seconds."""
        return median(self.seconds)


@dataclass(frozen=True)
class Weighed:
    """The memory that a worker took after its work."""

    pool: str
    at_once: int
    memory: Memory


@dataclass(frozen=True)
class Many:
    """What very many pieces took that waited at once, in one process."""

    pool: str
    at_once: int
    seconds: float  # of one turn, from the first enqueued piece to the last result
    memory: Memory  # afterwards


@dataclass(frozen=True)
class Measured:
    """All that one run showed."""

    ran: list[Ran]
    weighed: list[Weighed]
    many: list[Many]
    others: list[float]  # how busy the machine was before each worker started, in percent of all processors

    def wrong(self) -> list[str]:
        """Return the rows whose pieces ran in more or fewer processes than the pool should have: they teach nothing."""
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
    """Return, for each worker that does all the work, its pool and how many pieces it does at once."""
    return [(ONE, 1), *((pool, at_once) for pool in POOLS for at_once in plan.at_once)]


def measure(plan: Plan, folder: Path, tell: Callable[[str], None]) -> Measured:
    """Start each worker in turn, and have it do all the work.

    Raises:
        StackError: a worker ended, or took too long.
    """
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
    """Return the arguments for a tile inside the set: each pixel takes all rounds, so all pieces are as long."""
    return 2200, 1000, side, 4096, 2048


def _do(child: Child, pieces: int, task: str, arguments: tuple[Any, ...]) -> tuple[float, set[tuple[str, int]]]:
    """Enqueue pieces and wait for all; return the seconds, and host and process id of each process that did one."""
    piece = app.tasks[task]
    began = time.monotonic()
    results = [piece.delay(*arguments) for _ in range(pieces)]
    try:
        places = [
            result.get(timeout=DONE_WITHIN) for result in results
        ]  # a group's own get may notice the last result half a second late
    except NotInTimeError as error:
        why = f"{child.name} did not do its work within {DONE_WITHIN:.0f} seconds" if child.running else child.ending()
        raise StackError(why) from error
    took = time.monotonic() - began
    for result in results:
        result.forget()
    return took, {(place["host"], place["pid"]) for place in places}
