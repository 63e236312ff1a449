"""Measure whether finished tasks, each with a value of its own under one lock, slow that lock or enlarge its grants."""

import time
from dataclasses import dataclass
from typing import Any

import interlock
from bench.counter.counting import WITHIN, Interlock, count, kept, rate
from bench.harness.crew import Crew, Gate
from bench.harness.server import Server

COUNTER = "interlock"
STEPS = 3  # updates of its value that a task makes
CHANNELS = "*interlock:session:*"


def run_tasks(_: Any, port: int, name: str, tasks: int, updates: int, gate: Gate) -> tuple[float, float]:
    """Run tasks one after the other, then make updates under the hold that they had; return both rates a second."""
    mine = kept(COUNTER, port, name)
    assert isinstance(mine, Interlock)
    mine.add(0, 1)
    lock = mine.value.get_lock()
    gate()
    began = time.monotonic()
    for number in range(tasks):
        with interlock.acting_for(f"task-{number}", "progress"):
            progress = interlock.Value("i", 0, lock=lock)
            for _ in range(STEPS):
                with lock:
                    progress.value += 1
    ended = time.monotonic()
    mine.add(1, updates)
    return tasks / (ended - began), updates / (time.monotonic() - ended)


def wants(_: Any, port: int, name: str, gate: Gate) -> int:
    """Return how long the list of values is that the next grant brings, in characters."""
    mine = kept(COUNTER, port, name)
    assert isinstance(mine, Interlock)
    lock = mine.value.get_lock()
    with lock:  # so that there is a station, and its hold
        lingering_lock = lock._session.lingering.lingering_locks[lock._resource.state]
        hold = lingering_lock.hold
        longest = max(len(lingering_lock.wants), 0 if hold is None else len(hold.local_values.wanted()))
    gate()
    return longest


@dataclass(frozen=True)
class Size:
    """The counter at one moment."""

    alone_per_second: float  # updates of one process while nobody asks, under the hold that the tasks had
    both_per_second: float  # updates of two processes
    wants: int  # characters that ask for values with the next grant
    grant: int  # characters of the longest grant


@dataclass(frozen=True)
class Grown:
    """What one turn showed."""

    tasks: int
    tasks_per_second: float
    before: Size
    after: Size
    left: int  # the count at the end: 0 if the lock excludes


def turn(tasks: int, updates: int, name: str, server: Server) -> Grown:
    """Count, run the tasks in the first process, count again.

    Args:
        tasks: how many tasks.
        updates: how many updates each process makes in each count.
        name: the counter's name.
        server: the server that all of it runs on.
    """
    with Crew(2, None) as crew:

        def run(tasks: int) -> tuple[float, float]:
            crew.prepare(run_tasks, server.port, name, tasks, updates, members=1)
            _, (rates,) = crew.go(WITHIN * 10)
            return rates  # type: ignore[no-any-return]

        def size(alone: float) -> Size:
            crew.prepare(wants, server.port, name, members=1)
            _, (asked,) = crew.go(0)
            with server.published(CHANNELS) as messages:
                crew.prepare(count, COUNTER, server.port, name, 1, updates, numbered=True)
                _, both = crew.go(WITHIN)
            grants = [len(message) for message in messages if message and int(message.split(" ", 1)[0]) > 0]
            return Size(alone, rate(both, 2 * updates), asked, max(grants, default=0))

        run(0)  # warms up
        before = size(run(0)[1])
        per_second, alone = run(tasks)
        after = size(alone)
    left = Interlock(server.port, name, None).read() - 3 * updates  # what one process counted alone only adds
    return Grown(tasks, per_second, before, after, left)
