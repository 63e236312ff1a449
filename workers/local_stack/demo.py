"""`make demo`: runs each program of the tutorial once, on a stack of its own, then prints a table."""

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from workers.local_stack.children import ROOT, ended_with_parent
from workers.local_stack.programs import PROGRAMS, Program
from workers.local_stack.redis_server import StackError
from workers.local_stack.stack import Stack, free_ports
from workers.local_stack.stopping import uninterrupted

ENDED_AFTER = 60.0  # seconds: a program that takes longer counts as hanging
RACE_SECONDS = 16.0  # for the race: the limit is 25, but the machine may slow down after the trial


@dataclass(frozen=True)
class Outcome:
    """The outcome of one program."""

    program: Program
    verdict: dict[str, object]  # as examples/_runner.py writes it; empty if the program failed before
    seconds: float
    code: int
    last_line: str


def run_all() -> int:
    """Start the stack, run the programs, print the table, stop everything. Returns exit code 0 if all claims held."""
    console = Console(width=None if sys.stdout.isatty() else 150)
    began = time.monotonic()
    outcomes: list[Outcome] = []
    progress = Progress(
        SpinnerColumn(), TextColumn("{task.description:<16}"), BarColumn(24), TimeElapsedColumn(),
        TextColumn("{task.fields[line]}"), console=console, transient=True, disable=not sys.stdout.isatty(),
    )  # fmt: skip
    with progress:
        bar = progress.add_task("starting", total=len(PROGRAMS) + 1, line="")

        def tell(what: str) -> None:
            progress.update(bar, line=what)
            if progress.disable:
                print(what, flush=True)

        with Stack(free_ports(), prefix=f"demo-{uuid.uuid4().hex[:8]}:", tell=tell) as stack:
            console.print(f"Flower, while this runs: {stack.flower_url}")
            progress.advance(bar)
            for program in PROGRAMS:
                progress.update(bar, description=program.name)
                outcome = _run(program, stack, lambda line: progress.update(bar, line=line))
                outcomes.append(outcome)
                progress.advance(bar)
                mark = "ok" if outcome.code == 0 else "FAILED"
                console.print(f"{program.name:<16} {mark:<7} {outcome.seconds:5.1f} s  {outcome.last_line}")
            progress.update(bar, description="stopping", line="")
    console.print(_table(outcomes))
    for why in dict.fromkeys(_why_fewer(outcome) for outcome in outcomes):
        if why:
            console.print(f"  {why}")
    good = all(outcome.code == 0 for outcome in outcomes)
    console.print(f"{'all claims held' if good else 'a claim did not hold'}, {time.monotonic() - began:.0f} seconds")
    return 0 if good else 1


def _fitting_race(stack: Stack) -> int:
    """Return the unlocked updates that a task can make in RACE_SECONDS here, at most the tutorial's 100,000."""
    with _program(stack, "workers.local_stack.trial") as process:
        said = process.communicate()[0].strip()
    if process.returncode:
        raise StackError(
            f"the trial of this machine's speed failed: {said.rpartition(chr(10))[2] or 'it took too long'}"
        )
    rate = float(said.rpartition("\n")[2])
    return max(1_000, min(100_000, int(rate * RACE_SECONDS) // 1_000 * 1_000))


def _run(program: Program, stack: Stack, show: Callable[[str], None]) -> Outcome:
    file = stack.folder / f"{program.name}.json"
    arguments = [str(_fitting_race(stack))] if program.timed else []
    began = time.monotonic()
    last = ""
    with _program(stack, f"examples.{program.name}", *arguments, INTERLOCK_VERDICT=str(file)) as process:
        assert process.stdout is not None
        for line in process.stdout:
            last = line.rstrip() or last
            show(last)
        code = process.wait()
    verdict = json.loads(file.read_text()) if file.exists() else {}
    return Outcome(program, verdict, time.monotonic() - began, code, last)


@contextmanager
def _program(stack: Stack, *words: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Run a program on the stack, and kill it if it hangs, if a part of the stack ends, or if we are told to stop.

    Raises StackError if a part of the stack has ended.
    """
    over = threading.Event()
    watcher = process = None

    def watch(process: subprocess.Popen[str]) -> None:
        until = time.monotonic() + ENDED_AFTER
        try:
            while not over.wait(0.2) and time.monotonic() < until:
                stack.check()
        except StackError:
            pass  # the main thread, which can tell the user, raises it below
        if not over.is_set():
            process.kill()

    try:
        with uninterrupted():
            process = subprocess.Popen(
                [sys.executable, "-m", *words],
                cwd=ROOT,
                env={**os.environ, **stack.variables, **variables},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                preexec_fn=ended_with_parent(),
            )
            watcher = threading.Thread(target=watch, args=(process,), daemon=True)
            watcher.start()
        yield process
        stack.check()
    finally:
        over.set()
        if watcher is not None:
            watcher.join()
        if process is not None:
            process.kill()
            process.wait()


def _why_fewer(outcome: Outcome) -> str:
    asked, _, run = str(outcome.verdict.get("counts", "")).partition(" / ")
    if asked == run:
        return ""
    return f"{outcome.program.name}: {run} of {asked} updates a task, as many as fit into {RACE_SECONDS:.0f} s here"


def _table(outcomes: list[Outcome]) -> Table:
    table = Table(title="The tutorial's programs, on Celery workers", title_justify="left")
    for heading in ("program", "the tutorial, on one machine", "here", "check"):
        table.add_column(heading)
    for heading in ("updates asked / run", "tasks", "processes", "seconds"):
        table.add_column(heading, justify="right")
    for outcome in outcomes:
        said = outcome.verdict
        table.add_row(
            outcome.program.name, outcome.program.tutorial, str(said.get("result", outcome.last_line)),
            f"{'ok' if outcome.code == 0 else 'FAILED'}: {said.get('claim', 'it did not end')}",
            str(said.get("counts", "")), str(said.get("tasks", "")), str(said.get("processes", "")),
            f"{outcome.seconds:.1f}",
        )  # fmt: skip
    return table
