"""Count as the tutorial does: half of the threads add 1, the others subtract 1. How fast is it, does it end at 0?"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, Protocol

import redis
import redis.lock

import interlock
from bench.harness.crew import Crew, Gate
from bench.harness.server import HOST, LEASE, Server

WITHIN = 120.0  # seconds that a turn may take


class Counter(Protocol):
    """A counter and its lock."""

    def add(self, step: int, times: int) -> None:
        """Add the step `times` times, each under the lock; others can see the sum when this returns."""

    def read(self) -> int:
        """Return the count; nobody counts any more."""


class Interlock:
    """`interlock.Value` with its lock, which lingers; `add` commits its updates at its end, as a Celery task does."""

    linger: float | None = None

    def __init__(self, port: int, name: str, _: Any) -> None:
        self.client = redis.Redis(host=HOST, port=port, socket_timeout=None)
        self.value = self.made(name)

    def made(self, name: str) -> Any:
        """Return the value that is counted in."""
        return interlock.Value("i", 0, name=name, client=self.client, lease=LEASE, linger=self.linger)

    def add(self, step: int, times: int) -> None:
        value = self.value
        with interlock.acting_for(f"count-{threading.get_ident()}", "count"):
            for _ in range(times):
                with value.get_lock():
                    value.value += step

    def read(self) -> int:
        number: int = self.value.value
        return number


class Strict(Interlock):
    """The same with a lock that goes back to the server at each release."""

    linger = 0.0


class RedisPy:
    """A `redis.lock.Lock` around a GET and a SET."""

    def __init__(self, port: int, name: str, _: Any) -> None:
        self.client = redis.Redis(host=HOST, port=port, socket_timeout=None)
        self.key = f"{name}-value"
        self.client.set(self.key, 0, nx=True)
        self.lock = redis.lock.Lock(self.client, name, timeout=LEASE)

    def add(self, step: int, times: int) -> None:
        for _ in range(times):
            with self.lock:
                self.client.set(self.key, self.read() + step)

    def read(self) -> int:
        found: Any = self.client.get(self.key)
        return int(found)


class Multiprocessing:
    """`multiprocessing.Value` with its lock: shared memory of one machine."""

    def __init__(self, port: int, name: str, inherited: Any) -> None:  # noqa: ARG002  the other counters need them
        self.value = inherited

    def add(self, step: int, times: int) -> None:
        value = self.value
        for _ in range(times):
            with value.get_lock():
                value.value += step

    def read(self) -> int:
        number: int = self.value.value
        return number


class Threading:
    """A `threading.Lock` around an attribute: one process."""

    def __init__(self, *_: Any) -> None:
        self.value = 0
        self.lock = threading.Lock()

    def add(self, step: int, times: int) -> None:
        lock = self.lock
        for _ in range(times):
            with lock:
                self.value += step

    def read(self) -> int:
        return self.value


COUNTERS: dict[str, Callable[[int, str, Any], Counter]] = {
    "interlock": Interlock,
    "interlock, linger=0": Strict,
    "multiprocessing.Value": Multiprocessing,
    "threading.Lock": Threading,
    "redis-py": RedisPy,
}

_kept: dict[str, Counter] = {}  # an Interlock client that is collected releases its locks, which would be measured too


def kept(counter: str, port: int, name: str, inherited: Any = None) -> Counter:
    """Return this process's counter of a name, made at its first use."""
    if name not in _kept:
        _kept[name] = COUNTERS[counter](port, name, inherited)
    return _kept[name]


Share = tuple[int, int, int]
"""When a process began and when it ended, in ns on CLOCK_MONOTONIC; and the count that it read then."""


def count(
    inherited: Any, number: int, counter: str, port: int, name: str, threads: int, updates: int, gate: Gate
) -> Share:
    """Make `updates` updates in each of `threads` threads, which begin at once; `number` is this process's."""
    mine = kept(counter, port, name, inherited)
    mine.add(0, 1)  # opens connections and loads scripts
    steps = [1 - 2 * ((number * threads + thread) % 2) for thread in range(threads)]
    failed: list[BaseException] = []
    begin = threading.Event()

    def body(step: int) -> None:
        begin.wait()
        try:
            mine.add(step, updates)
        except BaseException as error:
            failed.append(error)
            raise

    others = [threading.Thread(target=body, args=(step,)) for step in steps[1:]]
    for other in others:
        other.start()
    began = gate().start
    begin.set()
    mine.add(steps[0], updates)
    for other in others:
        other.join()
    ended = time.monotonic_ns()
    if failed:
        raise failed[0]
    return began, ended, mine.read()


@dataclass(frozen=True)
class Case:
    """One row of the comparison.

    Args:
        name: what the row is called.
        counter: one of COUNTERS.
        updates: made by all threads together.
        processes: how many processes count.
        threads: how many threads count in each process.
        rtt_ms: the round trip that the proxy makes, in ms; 0: on loopback, without the proxy.
        against: the row that this one is compared with.
        aim: the part of that row's rate that this one should reach.
    """

    name: str
    counter: str
    updates: int
    processes: int = 2
    threads: int = 1
    rtt_ms: float = 0
    against: str = ""
    aim: float | None = None


@dataclass(frozen=True)
class Counted:
    """What one turn showed."""

    updates: int
    seconds: float  # from the start of all processes to the end of the last
    per_second: float
    left: int  # the count at the end: 0 if the lock excludes


def turn(case: Case, name: str, server: Server, port: int) -> Counted:
    """Have fresh processes count.

    Raises:
        CrewError: a process failed, or did not end.
    """
    inherited = get_context("spawn").Value("i", 0) if case.counter == "multiprocessing.Value" else None
    each = case.updates // (case.processes * case.threads)
    with Crew(case.processes, inherited) as crew:
        crew.prepare(count, case.counter, port, name, case.threads, each, numbered=True)
        _, shares = crew.go(WITHIN)
    if case.counter == "threading.Lock":  # only its own process can read it
        left = shares[0][2]
    else:
        left = COUNTERS[case.counter](server.port, name, inherited).read()
    updates = each * case.processes * case.threads
    per_second = rate(shares, updates)
    return Counted(updates, updates / per_second, per_second, left)


def rate(shares: list[Share], updates: int) -> float:
    """Return the updates a second of all processes together."""
    return updates / (max(share[1] for share in shares) - min(share[0] for share in shares)) * 1e9
