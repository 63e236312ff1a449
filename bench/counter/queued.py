"""Measure what acquire and release of a strict lock cost while others are queued: the same, however many."""

import threading
import time
from dataclasses import dataclass
from typing import Any

import redis

import interlock
from bench.harness.crew import Crew, Gate
from bench.harness.server import HOST, LEASE, Server

SETTLE = 0.5  # seconds from the start of the threads until all have asked for the lock
STACK = 256 * 1024  # bytes for each of a thousand threads


def queue_up(number: int, port: int, name: str, waiters: int, gate: Gate) -> list[int]:
    """Run half of the threads, each of which asks again as soon as it has released; return when each section ended.

    There are `waiters` threads that wait and one that holds, in two processes. Times are in ns on CLOCK_MONOTONIC.
    Every thread makes its last section after the window.
    """
    client = redis.Redis(host=HOST, port=port, socket_timeout=None)
    lock = interlock.Lock(name=name, client=client, lease=LEASE, linger=0)
    ended: list[int] = []
    over = threading.Event()

    def body() -> None:
        while not over.is_set():
            with lock:
                pass
            ended.append(time.monotonic_ns())

    threading.stack_size(STACK)
    threads = [threading.Thread(target=body) for _ in range((waiters + 1 + number) // 2)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(SETTLE)
        window = gate()
        time.sleep(max(0.0, (window.stop - time.monotonic_ns()) / 1e9))
    finally:
        over.set()
        for thread in threads:
            thread.join()
        threading.stack_size(0)
    return ended


@dataclass(frozen=True)
class Queued:
    """What one window showed."""

    waiters: int
    per_second: float
    cycle_us: float  # an acquire, a release and the hand-over: the sections follow each other
    server_us: float  # CPU of the server for a section
    scripts_us: float  # time within scripts for a section


def turn(waiters: int, name: str, server: Server, seconds: float) -> Queued:
    """Have two processes, with that many waiters together, take the lock in turn for that many seconds."""
    with Crew(2) as crew:
        crew.prepare(queue_up, server.port, name, waiters, numbered=True)
        before = server.spent()
        window, answers = crew.go(seconds)
    ended: list[Any] = [when for times in answers for when in times if when >= window.start]
    spent = server.spent().since(before, len(ended))
    rate = sum(when <= window.stop for when in ended) / window.seconds
    return Queued(waiters, rate, 1e6 / rate, spent.cpu_us, spent.scripts_us)
