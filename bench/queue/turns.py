"""Measure each row turn by turn: on a fresh server, enqueue all messages, then run a worker until all tasks ended."""

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from bench.harness import noise
from bench.harness.noise import Noise
from bench.harness.running import order
from bench.harness.server import HOST, Server, server
from bench.queue import systems
from bench.queue.ledger import LOOK_EVERY, Ledger, WrongError
from bench.queue.systems import APPS, System
from workers.local_stack.children import Child

ENQUEUED_WITHIN = 300.0  # seconds
STORED_WITHIN = 30.0  # seconds after the last task's end until all results are stored
WRITTEN_WITHIN = 60.0  # seconds from a wrapped worker's SIGTERM until its wrapper has written what it has seen


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    turns: int = 5
    tasks: int = 3_000  # that do nothing
    waits: int = 1_000  # tasks that wait
    seconds: float = 0.1  # that each of them waits
    at_once: int = 10  # threads, coroutines
    processes: int = 2


QUICK = Plan(turns=1, tasks=60, waits=30, seconds=0.02)


@dataclass(frozen=True)
class Work:
    """What all workers of one table do."""

    name: str
    systems: tuple[System, ...]
    tasks: int
    seconds: float = 0.0  # that each task waits
    kept: bool = True  # whether each result is stored


def works(plan: Plan) -> list[Work]:
    """Return the tables that are measured."""
    return [
        Work("results stored", systems.NO_OPS, plan.tasks),
        Work("results ignored", systems.NO_OPS, plan.tasks, kept=False),
        Work("waits", systems.WAITS, plan.waits, plan.seconds),
    ]


@dataclass(frozen=True)
class Turn:
    """What one turn of one row showed."""

    work: str
    system: str
    number: int
    per_second: float  # tasks, from the first start to the last end
    enqueued_per_second: float
    before: Noise
    after: Noise


@dataclass
class Measured:
    """All that one run showed."""

    turns: list[Turn] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)  # the turn, the row, and why it has no figure

    def of(self, work: str, system: str) -> dict[int, Turn]:
        """Return the turns of a row by number."""
        return {turn.number: turn for turn in self.turns if (turn.work, turn.system) == (work, system)}

    def looks(self) -> list[Noise]:
        """Return all looks at the machine."""
        return [look for turn in self.turns for look in (turn.before, turn.after)]


def measure(plan: Plan, tables: Sequence[Work], tell: Callable[[str], None]) -> Measured:
    """Measure all rows in turns; note which turn went wrong, and go on with the rest.

    Raises:
        InstallError: a system's environment cannot be made.
        StackError: no server can be started.
    """
    measured = Measured()
    for each in (system for work in tables for system in work.systems):
        each.python()  # made before the first turn: an installation is work that disturbs
    for number in range(plan.turns):
        for work in tables:
            rows = {system.name: system for system in work.systems}
            for name in order(list(rows), number):
                tell(f"turn {number + 1} of {plan.turns}, {work.name}: {name}")
                try:
                    measured.turns.append(turn(rows[name], work, plan, number + 1))
                except WrongError as error:
                    measured.wrong.append(f"turn {number + 1}, {work.name}, {name}: {error}")
                    tell(f"WRONG: {measured.wrong[-1]}")
    return measured


def turn(system: System, work: Work, plan: Plan, number: int, wrapper: Sequence[str] = ()) -> Turn:
    """Enqueue all messages of a row and have its worker run them.

    Args:
        system: the row.
        work: what its tasks do.
        plan: how many tasks run at once.
        number: the turn's number.
        wrapper: a command that starts the worker's command, which follows it.

    Raises:
        WrongError: a message was not enqueued, a task did not run once, or a result is missing.
    """
    with server() as started, tempfile.TemporaryDirectory(prefix="interlock-queue-") as made:
        folder = Path(made)
        with Ledger(folder / "ledger", work.tasks) as ledger:
            variables = {
                **system.variables, "PYTHONPATH": f"{system.folder}{os.pathsep}{APPS}", "TMPDIR": made,
                "REDIS_URL": f"redis://{HOST}:{started.port}/0", "BENCH_LEDGER": str(ledger.path),
                "BENCH_RESULTS": "kept" if work.kept else "ignored", "BENCH_SECONDS": str(work.seconds),
            }  # fmt: skip
            before = noise.look(started.port)
            enqueued = _enqueue(system, work.tasks, folder, variables)
            at_once = plan.processes if system.pool == systems.PREFORK else plan.at_once
            command = [*wrapper, *system.command(at_once)]
            with _running(Child(system.name, command, folder / "worker.log", variables)) as worker:
                ledger.wait(worker)
                _wait_for_results(system, work, started)
                if wrapper:
                    _end_wrapped(worker)
            rate = ledger.per_second()
        return Turn(work.name, system.name, number, rate, enqueued, before, noise.look(started.port))


def _enqueue(system: System, count: int, folder: Path, variables: dict[str, str]) -> float:
    """Enqueue all messages in a process of its own; return how many a second."""
    log = folder / "enqueue.log"
    child = Child(
        f"{system.name}, enqueuing", [system.python(), "-m", "enqueue", system.app, str(count)], log, variables
    )
    try:
        code = child.process.wait(ENQUEUED_WITHIN)
    except subprocess.TimeoutExpired:
        raise WrongError(f"did not enqueue {count:,} messages within {ENQUEUED_WITHIN:.0f} seconds") from None
    finally:
        child.stop(0)
    if code:
        raise WrongError(child.ending())
    return float(child.last_words())


@contextlib.contextmanager
def _running(child: Child) -> Iterator[Child]:
    """Yield a worker; at the end, kill it and its children. It has done its work: not all systems end when asked to."""
    try:
        yield child
    finally:
        child.stop(0)


def _end_wrapped(wrapper: Child) -> None:
    """Ask the worker within a wrapper to stop, and wait for the wrapper, which ends after the worker.

    Raises:
        WrongError: the wrapper does not end in time, or fails.
    """
    for each in psutil.Process(wrapper.process.pid).children():
        each.terminate()
    try:
        code = wrapper.process.wait(WRITTEN_WITHIN)
    except subprocess.TimeoutExpired:
        raise WrongError(f"did not end within {WRITTEN_WITHIN:.0f} seconds of SIGTERM") from None
    if code:
        raise WrongError(wrapper.ending())


def _wait_for_results(system: System, work: Work, started: Server) -> None:
    """Wait until there is one result for each task, or none if results are ignored.

    Raises:
        WrongError: there are more, or after STORED_WITHIN seconds less.
    """
    wanted, until = work.tasks if work.kept else 0, time.monotonic() + STORED_WITHIN
    while (found := len(set(started.client.scan_iter(match=system.results, count=1_000)))) < wanted:
        if time.monotonic() > until:
            break
        time.sleep(LOOK_EVERY)
    if found != wanted:
        raise WrongError(f"left {found:,} results of {work.tasks:,} tasks, not {wanted:,}")
