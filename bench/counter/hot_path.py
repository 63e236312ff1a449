"""Measure what each step of `with value.get_lock(): value.value += 1` costs while the lock lingers, in ns.

Most steps are repeated alone, as `timeit` does, and the time of an empty loop is subtracted. A thread cannot enter
again without leaving: a clock around each of the two says how the time of both together divides. The exit is that of a
section that has written: it is what remains of such a section when its other steps are subtracted.
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
    """The steps of one counter, in ns, each of its fastest repeat: other work on the machine only adds time."""

    update: float  # the whole statement, while nobody else counts
    get_lock: float
    enter: float
    read: float
    write: float
    exit: float

    @property
    def rest(self) -> float:
        """Return what is left: the addition, the `with` statement itself, and effects of the processor's caches."""
        return self.update - (self.get_lock + self.enter + self.read + self.write + self.exit)


def hot_path(port: int, name: str, times: int) -> dict[str, Split]:
    """Take apart an update of our value, whose lock lingers, and one of multiprocessing's."""
    ours = Interlock(port, name, None)
    theirs = get_context("spawn").Value("i", 0)
    return {"interlock": split(ours.value, times), "multiprocessing.Value": split(theirs, times)}


def split(value: Any, times: int) -> Split:
    """Take one update of a value apart."""
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
        value.value  # noqa: B018  the read is what is measured


def _write(value: Any, loop: Iterator[None]) -> None:
    for _ in loop:
        value.value = 1


def _write_locked(value: Any, loop: Iterator[None]) -> None:
    for _ in loop:
        with value.get_lock():
            value.value = 1


def _entering(lock: Any, times: int) -> float:
    """Return the time of entering as a part of the time of entering and leaving."""
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
