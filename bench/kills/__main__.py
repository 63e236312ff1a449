"""Runs the same kills on both transports, or faults of all kinds on ours, and prints what became of the tasks."""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import redis

from bench.harness.killable import KillableServer
from bench.kills import RATE, report
from bench.kills.report import Fault, Outcome
from workers.local_stack.children import ROOT

WORKERS, CONCURRENCY = 3, 4
POOLS = {"threads": "threads", "prefork": "prefork", "coroutines": "custom"}  # what --pool of a worker says
QUIET_WITHIN = 180.0  # seconds after the last fault: then what has not come back is lost
PAUSE = 2.0  # seconds between two faults, on average
STOPPED = 14.0  # seconds that a worker stands still: longer than bench.kills.TIMEOUT


class Worker:
    """One worker, in a process group of its own."""

    def __init__(self, env: dict[str, str], pool: str, log: Path) -> None:
        self._env, self._pool, self._log = env, pool, log
        self.start()

    def start(self) -> None:
        """Start it, again if it was killed."""
        command = [
            sys.executable, "-m", "celery", "-A", "bench.kills.app", "worker", "--pool", POOLS[self._pool],
            "--concurrency", str(CONCURRENCY), "--without-gossip", "--without-mingle", "--without-heartbeat",
            "-n", f"{time.monotonic_ns()}@%h",
        ]  # fmt: skip
        with self._log.open("a") as log:
            self.process = subprocess.Popen(  # noqa: S603 - a command of ours
                command, cwd=ROOT, env=self._env, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self) -> None:
        """Kill it, with its children."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Run:
    """One run: a broker, a log, workers, and a producer that sends at a steady rate."""

    def __init__(self, stack: ExitStack, transport: str, pool: str, seed: int, mixed: bool) -> None:
        self._pool = pool
        self.chance = random.Random(seed)  # noqa: S311 - the same faults each time
        self.faults: list[Fault] = []
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="interlock-kills-")))
        self.broker, log = KillableServer(folder / "broker"), KillableServer(folder / "log")
        for each in (self.broker, log):
            stack.callback(each.stop)
        env = {**os.environ, "BENCH_TRANSPORT": transport, "BENCH_BROKER": self.broker.url, "BENCH_LOG": log.url}
        env |= {"REDIS_URL": self.broker.url, "CELERY_CUSTOM_WORKER_POOL": "workers.coroutines:TaskPool"}
        env["BENCH_POOL"] = pool
        self.workers = [Worker(env, pool, folder / f"worker{number}.log") for number in range(WORKERS)]
        for worker in self.workers:
            stack.callback(worker.kill)
        self.producer = subprocess.Popen(  # noqa: S603 - a command of ours
            [sys.executable, "-m", "bench.kills.producer", "mixed" if mixed else "short"],
            cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        stack.callback(self.producer.kill)
        self.notes = stack.enter_context(redis.Redis.from_url(log.url, decode_responses=True))
        self.client = stack.enter_context(redis.Redis.from_url(self.broker.url))
        self._stopped: list[threading.Timer] = []
        until = time.monotonic() + 60
        while self.notes.llen("log") < 100:
            if time.monotonic() > until:
                raise TimeoutError("no worker has begun")
            time.sleep(0.05)

    def pause(self, mean: float = PAUSE) -> None:
        """Let the tasks flow for a moment, for so many seconds on average."""
        time.sleep(self.chance.uniform(mean / 2, mean * 3 / 2))

    def kill_worker(self) -> None:
        """Kill a worker, and start another one in its place."""
        worker = self.chance.choice(self.workers)
        with self._noted("kill", worker.process.pid):
            worker.kill()
        worker.start()

    def kill_child(self) -> None:
        """Kill a process of a worker's pool; the worker itself goes on."""
        worker = self.chance.choice(self.workers)
        children = psutil.Process(worker.process.pid).children()
        if children:
            with self._noted("child", worker.process.pid):
                self.chance.choice(children).kill()

    def stop_worker(self) -> None:
        """Let a worker stand still for longer than the timeout."""
        worker = self.chance.choice(self.workers)
        group, began = worker.process.pid, time.time()
        os.killpg(group, signal.SIGSTOP)
        self.faults.append(Fault("stop", group, began, began + STOPPED + 5))

        def go_on() -> None:
            if worker.process.pid == group and worker.process.poll() is None:
                os.killpg(group, signal.SIGCONT)

        timer = threading.Timer(STOPPED, go_on)
        timer.start()
        self._stopped.append(timer)

    def cut_connections(self) -> None:
        """Cut all connections to the broker.

        This explains a second run on prefork: a worker that has passed a task to a process, and has not heard that the
        process began it, gives its message back.
        """
        began = time.time()
        self.client.client_kill_filter(_type="normal", skipme=True)
        self.client.client_kill_filter(_type="pubsub", skipme=True)
        if self._pool == "prefork":
            self.faults.append(Fault("cut", 0, began, time.time()))

    def kill_redis(self) -> None:
        """Kill the broker, and start it again on its append-only file."""
        self.broker.kill_and_start()

    @contextmanager
    def _noted(self, kind: str, worker: int) -> Iterator[None]:
        began = time.time()
        yield
        self.faults.append(Fault(kind, worker, began, time.time()))

    def outcome(self) -> Outcome:
        """Stop the producer, wait until all is quiet, and read the log."""
        sent, *uncertain = map(int, self.producer.communicate("stop\n", timeout=60)[0].split())
        for timer in self._stopped:
            timer.join()
        until = time.monotonic() + QUIET_WITHIN
        while time.monotonic() < until and (
            self.client.llen("celery") or self.client.hlen("unacked") or self.client.zcard("delayed")
        ):
            time.sleep(0.5)
        return report.read(sent, self.notes.lrange("log", 0, -1), self.faults, uncertain)


def kills(transport: str, pool: str, count: int, tasks: int, seed: int) -> Outcome:
    """Kill so many workers, one after the other, while at least so many tasks are sent."""
    with ExitStack() as stack:
        run = Run(stack, transport, pool, seed, mixed=False)
        for _ in range(count):
            run.pause(max(PAUSE, tasks / RATE / count))
            run.kill_worker()
        return run.outcome()


def chaos(pool: str, minutes: float, seed: int, tell: Callable[[str], None] = lambda _: None) -> Outcome:
    """Do what comes by chance, for so long: our transport may lose nothing, nor run a task twice without a reason."""
    with ExitStack() as stack:
        run = Run(stack, "interlock", pool, seed, mixed=True)
        kinds = (run.kill_worker, run.kill_child, run.stop_worker, run.cut_connections, run.kill_redis)
        done: Counter[str] = Counter()
        until = time.monotonic() + 60 * minutes
        while time.monotonic() < until:
            run.pause()
            fault = run.chance.choice(kinds)
            done[fault.__name__] += 1
            fault()
        tell(", ".join(f"{name} {count}" for name, count in sorted(done.items())))
        return run.outcome()


def main() -> int:
    """Run the program; 1 if our transport lost a task, or ran one twice that nothing explains."""
    parser = argparse.ArgumentParser(prog="python -m bench.kills", description=__doc__)
    parser.add_argument("--faults", type=int, default=20, help="how many workers are killed, on each transport")
    parser.add_argument("--tasks", type=int, default=0, help="how many tasks are sent meanwhile, at least")
    parser.add_argument("--pool", choices=POOLS, default="threads", help="kombu has no coroutines")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=("interlock", "kombu"), help="one transport alone")
    parser.add_argument("--chaos", action="store_true", help="faults of all kinds, on our transport")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long the chaos lasts")
    options: Any = parser.parse_args()
    rows: list[tuple[str, Outcome]] = []
    if options.chaos:
        rows.append(("interlock", chaos(options.pool, options.minutes, options.seed, print)))
    else:
        only = "interlock" if options.pool == "coroutines" else options.only
        names = (only,) if only else ("kombu", "interlock")
        how = options.pool, options.faults, options.tasks, options.seed
        rows.extend((name, kills(name, *how)) for name in names)
    print(f"pool {options.pool}, {WORKERS} workers, seed {options.seed}\n{report.table(rows)}")
    ours = dict(rows).get("interlock")
    if ours is None:
        return 0
    for number, why in ours.twice.items():
        print(f"task {number} ran twice: {why or 'nothing explains it'}")
    for number in ours.lost:
        print(f"task {number} is lost")
    return 1 if ours.lost or ours.unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
