"""Measure all locks and print the tables; with --save, write the raw figures."""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict

from bench.harness import install, noise, running
from bench.harness.crew import CrewError
from bench.harness.proxy import proxy
from bench.harness.server import server
from bench.locks import report, turns
from bench.locks.adapters import LOCKS
from workers.local_stack.redis_server import StackError

RESULTS = running.RESULTS / "locks.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if all was measured, 1 if a lock failed or did not exclude, or if nothing could be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Interlock's Lock beside the locks of others.")
    parser.add_argument("--quick", action="store_true", help="one short turn of each lock")
    parser.add_argument("--save", action="store_true", help="write the raw figures to bench/results/locks.json")
    chosen = parser.parse_args(arguments)
    plan = turns.QUICK if chosen.quick else turns.Plan()
    began = time.monotonic()

    refused = install.ensure()
    left_out = {name: refused or reason for name, entry in LOCKS.items() if (reason := entry.missing())}
    names = [name for name in LOCKS if name not in left_out]
    try:
        with server() as started, proxy(started.port, plan.delay) as far_port:
            machine = noise.machine(started.version())
            network = turns.network(started, far_port, plan)
            machine["redis-py"] += f", parser: {network.parser}"
            done, failed = turns.all_turns(names, started, far_port, plan, running.tell)
    except (StackError, CrewError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    machine["load after"] = noise.load()
    machine["took"] = f"{time.monotonic() - began:.0f} s"
    report.show(done, network, machine, left_out | failed, plan)
    if chosen.save:
        versions = {name: LOCKS[name].version for name in names}
        figures = {"machine": machine, "plan": asdict(plan), "network": asdict(network), "versions": versions,
                   "left out": left_out | failed, "turns": [asdict(turn) for turn in done]}  # fmt: skip
        running.save(RESULTS, figures)
    overlapped = any(turn.near.overlaps or turn.far.overlaps for turn in done)
    return 1 if failed or overlapped else 0


if __name__ == "__main__":
    running.run(main)
