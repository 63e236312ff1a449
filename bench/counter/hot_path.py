"""What `with value.get_lock(): value.value += 1` costs while the lock lingers, step by step, in ns.

The steps of one update are taken apart: each is repeated alone, as `timeit` does, and an empty loop is taken off. What
enters cannot be repeated alone: a clock around it and around what leaves says how the time of both divides. What leaves
has something written to hand on; it is the rest of a section that only writes.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat
from multiprocessing import get_context
from statistics import median
from typing import Any

from bench.counter.counting import Interlock

REPEATS = 25
STEPS = ("get_lock", "enter", "read", "write", "exit")


@dataclass(frozen=True)
class Split:
    """One counter. All in ns, of the fastest repeats: what else ran on the machine only adds."""

    update: float  # the whole statement, nobody else counts
    get_lock: float
    enter: float
    read: float
    write: float
    exit: float

    @property
    def rest(self) -> float:
        """The addition, the `with` statement itself, and what caches of the processor make of it."""
        return self.update - (self.get_lock + self.enter + self.read + self.write + self.exit)


def hot_path(port: int, name: str, times: int) -> dict[str, Split]:
    """Ours, lingering; and multiprocessing's."""
    ours = Interlock(port, name, None)
    theirs = get_context("spawn").Value("i", 0)
    return {"interlock": split(ours.value, times), "multiprocessing.Value": split(theirs, times)}


def split(value: Any, times: int) -> Split:
    """Take one update of that value apart."""
    lock = value.get_lock()
    value.value = 0
    rounds = [_round(value, lock, times) for _ in range(REPEATS)]
    empty, update, get_lock, nothing, read, write, written = (min(each) for each in zip(*rounds, strict=True))
    enter = (nothing - empty) * median(_entering(lock, times) for _ in range(REPEATS))
    return Split(
        update=update - empty,
        get_lock=get_lock - empty,
        enter=enter,
        read=read - empty,
        write=write - empty,
        exit=written - get_lock - enter - write + empty,
    )


def _round(value: Any, lock: Any, times: int) -> tuple[float, ...]:
    empty, update, get_lock = (_timed(body, value, times) for body in (_empty, _update, _get_lock))
    nothing = _timed(_nothing, lock, times)
    with lock:
        read, write = _timed(_read, value, times), _timed(_write, value, times)
    return empty, update, get_lock, nothing, read, write, _timed(_write_locked, value, times)


def _timed(body: Callable[[Any, Iterator[None]], None], subject: Any, times: int) -> float:
    loop = repeat(None, times)
    began = time.perf_counter_ns()
    body(subject, loop)
    return (time.perf_counter_ns() - began) / times


def _empty(_: Any, loop: Iterator[None]) -> None:
    for _ in loop:
        pass


def _update(value: Any, loop: Iterator[None]) -> None:
    for _ in loop:
        with value.get_lock():
            value.value += 1


def _get_lock(value: Any, loop: Iterator[None]) -> None:
    for _ in loop:
        value.get_lock()


def _nothing(lock: Any, loop: Iterator[None]) -> None:
    for _ in loop:
        with lock:
            pass


def _read(value: Any, loop: Iterator[None]) -> None:
    for _ in loop:
        value.value  # noqa: B018  that is what is measured


def _write(value: Any, loop: Iterator[None]) -> None:
    for _ in loop:
        value.value = 1


def _write_locked(value: Any, loop: Iterator[None]) -> None:
    for _ in loop:
        with value.get_lock():
            value.value = 1


def _entering(lock: Any, times: int) -> float:
    """Which part of entering and leaving is entering."""
    clock = time.perf_counter_ns
    enters, exits, clocks = [], [], []
    for _ in range(min(times, 2_000)):
        zero = clock()
        first = clock()
        lock.__enter__()
        second = clock()
        lock.__exit__(None, None, None)
        third = clock()
        clocks.append(first - zero)
        enters.append(second - first)
        exits.append(third - second)
    idle = median(clocks)
    enter, leave = median(enters) - idle, median(exits) - idle
    return enter / (enter + leave)
