"""Measure the counter and print the tables; with --save, write the raw figures."""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from statistics import median

import interlock
from bench.counter import report, turns
from bench.harness import noise, running
from bench.harness.server import server
from workers.local_stack.redis_server import StackError

RESULTS = running.RESULTS / "counter.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if all was measured, 1 if a counter did not end at 0, or if nothing could be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.counter", description="The tutorial's locked counter.")
    parser.add_argument("--quick", action="store_true", help="one short turn")
    parser.add_argument("--full", action="store_true", help="100,000 finished tasks, once")
    parser.add_argument("--save", action="store_true", help="write the raw figures to bench/results/counter.json")
    chosen = parser.parse_args(arguments)
    plan = turns.QUICK if chosen.quick else turns.Plan()
    if chosen.full:
        plan = replace(plan, tasks=turns.TASKS_FULL)
    began = time.monotonic()
    try:
        with server() as started:
            machine = noise.machine(started.version())
            measured = turns.measure(plan, started, running.tell)
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    machine["interlock"] = interlock.__version__
    machine["load after"] = noise.load()
    machine["took"] = f"{time.monotonic() - began:.0f} s"
    rows = turns.cases(plan)
    report.show(measured, machine, rows, plan.turns)
    if chosen.save:
        running.save(RESULTS, {"machine": machine, "plan": asdict(plan), "cases": [asdict(case) for case in rows],
                       "medians": {case.name: median(rates) for case in rows if (rates := measured.rates(case.name))},
                       **asdict(measured)})  # fmt: skip
    return 1 if measured.wrong() or measured.failed else 0


if __name__ == "__main__":
    running.run(main)
