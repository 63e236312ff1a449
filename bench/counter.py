"""The tutorial's locked counter, two processes and a million updates each, beside what one machine's own locks do.

    .venv/bin/python -m bench.counter            all of it, under four minutes on two cores
    .venv/bin/python -m bench.counter --quick    one short turn: does everything work?
    .venv/bin/python -m bench.counter --full     100,000 finished tasks instead of 2,000, in one turn
    .venv/bin/python -m bench.counter --save     also writes bench/results/counter.json

It starts a server of its own, as `python -m bench` does, and what is said there of ratios holds here.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from statistics import median

import interlock
from bench import counter_report, counter_turns, noise, running
from bench.server import server
from workers.local_stack.redis_server import StackError

RESULTS = running.RESULTS / "counter.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """0: measured; 1: a counter did not end at 0, or nothing could be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.counter", description="The tutorial's locked counter.")
    parser.add_argument("--quick", action="store_true", help="one short turn")
    parser.add_argument("--full", action="store_true", help="100,000 finished tasks, once")
    parser.add_argument("--save", action="store_true", help="write the raw figures to bench/results/counter.json")
    chosen = parser.parse_args(arguments)
    plan = counter_turns.QUICK if chosen.quick else counter_turns.Plan()
    if chosen.full:
        plan = replace(plan, tasks=counter_turns.TASKS_FULL)
    began = time.monotonic()
    try:
        with server() as started:
            machine = noise.machine(started.version())
            measured = counter_turns.measure(plan, started, running.tell)
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    machine["interlock"] = interlock.__version__
    machine["load after"] = noise.load()
    machine["took"] = f"{time.monotonic() - began:.0f} s"
    rows = counter_turns.cases(plan)
    counter_report.show(measured, machine, rows, plan.turns)
    if chosen.save:
        running.save(RESULTS, {"machine": machine, "plan": asdict(plan), "cases": [asdict(case) for case in rows],
                       "medians": {case.name: median(rates) for case in rows if (rates := measured.rates(case.name))},
                       **asdict(measured)})  # fmt: skip
    return 1 if measured.wrong() or measured.failed else 0


if __name__ == "__main__":
    running.run(main)
