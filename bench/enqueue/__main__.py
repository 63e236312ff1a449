"""Measure how fast a program enqueues, and print a table; with --save, write the raw figures.

Every way takes a turn in each round, in a process of its own, on a server of its own whose queue is empty. A loop
enqueues fewer tasks, for it takes as long for the first as for the last. Rates are compared within a round.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

import interlock
from bench.enqueue.producer import WARM_UP, WAYS
from bench.harness import noise, running
from bench.harness.server import server
from workers.local_stack.redis_server import StackError

RESULTS = running.RESULTS / "enqueue.json"
BASE = "loop of delay(), results kept"
LOOP_SHARE = 20  # a loop enqueues a twentieth of the tasks
TURN_WITHIN = 900.0  # seconds


def turn(way: str, count: int) -> dict[str, Any]:
    """Return the figures of one turn of one way."""
    with server() as started:
        env = {**os.environ, "REDIS_URL": f"redis://127.0.0.1:{started.port}/0"}
        command = [sys.executable, "-m", "bench.enqueue.producer", way, str(count)]
        done = subprocess.run(  # noqa: S603  our own program
            command, cwd=running.ROOT, env=env, capture_output=True, text=True, timeout=TURN_WITHIN, check=False
        )
    if done.returncode:
        raise RuntimeError(f"{way} failed: {done.stderr.strip().splitlines()[-1]}")
    figures: dict[str, Any] = json.loads(done.stdout)
    return {**figures, "count": count, "rate": count / figures["seconds"], "cpu_us": 1e6 * figures["cpu"] / count}


def measure(rounds: int, tasks: int) -> dict[str, list[dict[str, Any]]]:
    """Return the figures of each turn, by way, in the order of the rounds."""
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for number in range(rounds):
        for way in running.order(list(WAYS), number):
            count = max(1, tasks // LOOP_SHARE) if way.startswith("loop") else tasks
            running.tell(f"round {number + 1} of {rounds}: {way}, {count:,} tasks")
            found[way].append(turn(way, count))
    return found


def ratios(found: dict[str, list[dict[str, Any]]], way: str) -> list[float]:
    """Return how many times as fast as BASE a way was, in each round."""
    return [one["rate"] / other["rate"] for one, other in zip(found[way], found[BASE], strict=True)]


def show(found: dict[str, list[dict[str, Any]]]) -> None:
    """Print the medians, with the lowest and the highest."""
    table = Table("way", "tasks", "tasks/s", "times the loop", "CPU of the producer, us a task", "memory, MB more")
    for way, turns in found.items():
        table.add_row(
            way, f"{turns[0]['count']:,}", _spread([each["rate"] for each in turns], "{:,.0f}"),
            _spread(ratios(found, way), "{:.1f}"), _spread([each["cpu_us"] for each in turns], "{:,.0f}"),
            _spread([each["kb"] / 1024 for each in turns], "{:.1f}"),
        )  # fmt: skip
    Console(width=140).print(table)


def _spread(values: Sequence[float], form: str) -> str:
    low, middle, high = (form.format(value) for value in (min(values), median(values), max(values)))
    return middle if len(values) == 1 else f"{middle} ({low} to {high})"


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if every turn enqueued what it should."""
    parser = argparse.ArgumentParser(prog="python -m bench.enqueue", description="Enqueuing many tasks.")
    parser.add_argument("--quick", action="store_true", help="one round of 2,000 tasks")
    parser.add_argument("--tasks", type=int, default=100_000, help="tasks in a turn; a loop enqueues a twentieth")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--save", action="store_true", help="write the raw figures to bench/results/enqueue.json")
    chosen = parser.parse_args(arguments)
    if chosen.tasks < 1 or chosen.rounds < 1:
        parser.error("--tasks and --rounds must be 1 or more")
    rounds, tasks = (1, 2_000) if chosen.quick else (chosen.rounds, chosen.tasks)
    began = time.monotonic()
    try:
        with server() as started:
            machine = noise.machine(started.version())
        found = measure(rounds, tasks)
    except (StackError, RuntimeError, subprocess.TimeoutExpired) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    show(found)
    wrong = [way for way, turns in found.items() for each in turns if each["waiting"] != each["count"] + WARM_UP]
    for way in wrong:
        print(f"error: {way} enqueued another number of tasks than it should", file=sys.stderr)
    machine |= {"interlock": interlock.__version__, "load after": noise.load()}
    machine["took"] = f"{time.monotonic() - began:.0f} s"
    if chosen.save:
        medians = {way: {"rate": median(each["rate"] for each in turns), "times": median(ratios(found, way))}
                   for way, turns in found.items()}  # fmt: skip
        running.save(RESULTS, {"machine": machine, "medians": medians, "turns": found})
    return 1 if wrong else 0


if __name__ == "__main__":
    running.run(main)
