"""Sends tasks that are due later, kills Redis and the worker before the first is due, and prints what came of them."""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import redis

from bench.harness.killable import KillableServer
from workers.local_stack.children import ROOT

CONCURRENCY = 8
SENT_PER_SECOND = 400.0  # at least; a slower machine needs a longer FIRST_DUE
QUIET_WITHIN = 60.0  # seconds after the last is due
LATE = 1.0  # seconds: what the transport promises


def worker(stack: ExitStack, env: dict[str, str], log: Path) -> "subprocess.Popen[bytes]":
    """Start a worker of threads, which ends with the stack."""
    command = [
        sys.executable, "-m", "celery", "-A", "bench.delays.app", "worker", "--pool", "threads",
        "--concurrency", str(CONCURRENCY), "--without-gossip", "--without-mingle", "--without-heartbeat",
    ]  # fmt: skip
    process = subprocess.Popen(  # noqa: S603 - a command of ours
        command, cwd=ROOT, env=env, stdout=log.open("a"), stderr=subprocess.STDOUT, start_new_session=True
    )
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process


def main() -> int:
    """Run the program; 1 if a task did not run exactly once, or ran before it was due."""
    parser = argparse.ArgumentParser(prog="python -m bench.delays", description=__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="tasks")
    parser.add_argument("--window", type=float, default=400.0, help="seconds from the first that is due to the last")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="interlock-delays-")))
        broker, log = KillableServer(folder / "broker"), KillableServer(folder / "log")
        for each in (broker, log):
            stack.callback(each.stop)
        env = {**os.environ, "BENCH_BROKER": broker.url, "BENCH_LOG": log.url, "REDIS_URL": broker.url}
        first = worker(stack, env, folder / "worker.log")
        client = stack.enter_context(redis.Redis.from_url(broker.url))
        before = client.info("memory")["used_memory"]
        sending = options.count / SENT_PER_SECOND
        told = subprocess.run(  # noqa: S603 - a command of ours
            [sys.executable, "-m", "bench.delays.producer", str(options.count), str(options.window), str(sending)],
            cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
        begins, waiting = float(told.stdout), client.zcard("delayed")
        memory = client.info("memory")["used_memory"] - before
        first.kill()
        broker.kill_and_start()
        worker(stack, env, folder / "worker.log")
        until = begins + options.window + QUIET_WITHIN
        notes = stack.enter_context(redis.Redis.from_url(log.url, decode_responses=True))
        while time.time() < until and notes.llen("log") < options.count:
            time.sleep(0.5)
        rows = [line.split() for line in notes.lrange("log", 0, -1)]
    runs = Counter(int(number) for number, _ in rows)
    late = sorted(float(seconds) for _, seconds in rows)
    wrong = sum(runs[number] != 1 for number in range(options.count))
    print(
        f"{options.count:,} tasks due within {options.window:.0f} s; {waiting:,} waited in Redis: "
        f"{memory / 2**20:.1f} MiB, {memory / options.count:.0f} bytes each\n"
        "Redis and the worker were killed, and started again, before the first was due.\n"
        f"not run exactly once: {wrong}; started before they were due: {sum(each < 0 for each in late)}\n"
        f"late, in s: p50 {late[len(late) // 2]:.2f}, p99 {late[int(0.99 * len(late))]:.2f}, most {late[-1]:.2f}; "
        f"later than {LATE:.0f} s: {sum(each > LATE for each in late)}"
    )
    return 1 if wrong or late[0] < 0 else 0


if __name__ == "__main__":
    sys.exit(main())
