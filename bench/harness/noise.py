"""Measure how quiet the machine is: by a fixed piece of work and a burst of PINGs, before and after each turn."""

import datetime
import math
import os
import platform
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import redis
from redis.utils import HIREDIS_AVAILABLE
from rich.console import Console

from bench.harness.crew import Gate
from bench.harness.server import HOST

LOOP = 300_000  # additions, which take some 20 ms
PINGS = 400
FAR_PINGS = 100  # through the proxy
DISTURBED = 1.5  # the slowest look over the fastest: on a quiet machine it is less


@dataclass(frozen=True)
class Noise:
    """One look at the machine."""

    loop_ms: float  # how long the fixed work took
    ping_p50_us: float
    ping_p99_us: float


def look(port: int) -> Noise:
    """Do the fixed work, then PING the server on that port of the loopback address."""
    began = time.monotonic_ns()
    total = 0
    for number in range(LOOP):
        total += number
    loop_ms = (time.monotonic_ns() - began) / 1e6
    took = ping(port, PINGS)
    return Noise(loop_ms, median(took), quantile(took, 0.99))


def quantile(values: Sequence[float], part: float) -> float:
    """Return the smallest value that at least this part of all values does not exceed (nearest rank); nan if none."""
    if not values:
        return math.nan
    return sorted(values)[math.ceil(part * len(values)) - 1]


def ping(port: int, count: int) -> list[float]:
    """Send that many PINGs, one after the other, over a bare socket; return how long each took, in us."""
    took = []
    with socket.create_connection((HOST, port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(count + 1):
            began = time.monotonic_ns()
            connection.sendall(b"PING\r\n")
            if connection.recv(64) != b"+PONG\r\n":
                raise RuntimeError("no PONG for a PING")
            took.append((time.monotonic_ns() - began) / 1000)
    return took[1:]  # the first one has waited for the connection


def pings(port: int, gate: Gate) -> int:
    """Send PINGs, one after the other, until the window is over; return how many were answered."""
    with socket.create_connection((HOST, port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(b"PING\r\n")
        connection.recv(64)
        window = gate()
        count = 0
        while time.monotonic_ns() < window.stop:
            connection.sendall(b"PING\r\n")
            connection.recv(64)
            count += 1
    return count


def load() -> str:
    """Return the machine's load averages of 1, 5 and 15 minutes."""
    return " ".join(f"{average:.2f}" for average in os.getloadavg())


def parser(gate: Gate) -> str:
    """Return which parser of replies redis-py uses in the process that calls this, which is one that measures."""
    gate()
    return "hiredis" if HIREDIS_AVAILABLE else "Python"


def machine(server: str) -> dict[str, str]:
    """Return what the figures depend on: the machine, its load, and versions."""
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cores": str(os.cpu_count()),
        "load before": load(),
        "system": f"{platform.system()} {platform.machine()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "redis-py": redis.__version__,
        "server": server,
    }


def disturbance(console: Console, looks: Sequence[Noise]) -> None:
    """Print how much the looks at the machine differ."""
    loops, pings = [look.loop_ms for look in looks], [look.ping_p50_us for look in looks]
    console.print(
        f"  The slowest took, of the fixed work, {max(loops) / min(loops):.2f} times the fastest; "
        f"of the PINGs' p50, {max(pings) / min(pings):.2f} times."
    )
    if max(loops) > DISTURBED * min(loops):
        console.print(
            "  Disturbed: other work ran on this machine. The ranges of so few turns understate that: measure again on "
            "a quiet one\n  before you quote a small difference on loopback."
        )
