"""Measure all rows and print the tables; with --save, write the figures; with --profile, look at our pools instead."""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console

from bench.harness import noise, running
from bench.harness.install import InstallError
from bench.harness.server import server
from bench.queue import profiling, report, turns
from bench.queue.ledger import WrongError
from workers.local_stack.redis_server import StackError

RESULTS = running.RESULTS / "queue.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if all was measured, 1 if a worker did not do its work, or if nothing could be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.queue", description="What a message costs.")
    parser.add_argument("--quick", action="store_true", help="few tasks, once")
    parser.add_argument("--profile", action="store_true", help="where a message's time goes, on each of our pools")
    parser.add_argument("--save", action="store_true", help="write the figures into bench/results")
    chosen = parser.parse_args(arguments)
    if chosen.profile and chosen.save:
        parser.error("--save keeps figures, and --profile has none to keep: give one of them")
    plan = turns.QUICK if chosen.quick else turns.Plan()
    console = Console(width=report.WIDTH, highlight=False, markup=False)
    for name in [name for name in os.environ if name.startswith("INTERLOCK_")]:
        del os.environ[name]  # the workers have the project's defaults
    try:
        if chosen.profile:
            profiling.show(console, profiling.measure(plan, running.tell))
            return 0
        return _measured(plan, console, chosen.save)
    except (InstallError, StackError, WrongError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _measured(plan: turns.Plan, console: Console, save: bool) -> int:
    began = time.monotonic()
    with server() as started:
        machine = noise.machine(started.version())
    tables = turns.works(plan)
    measured = turns.measure(plan, tables, running.tell)
    machine |= {"load after": noise.load(), "took": f"{time.monotonic() - began:.0f} s"}
    console.print("; ".join(f"{name}: {value}" for name, value in machine.items()))
    report.show(console, plan, tables, measured)
    if save and not measured.wrong:
        running.save(RESULTS, {"machine": machine, "plan": asdict(plan), **asdict(measured)})
    return 1 if measured.wrong else 0


if __name__ == "__main__":
    running.run(main)
