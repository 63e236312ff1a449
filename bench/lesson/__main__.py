"""Measure all pools and print the tables; with --save, write the figures, the picture and the page."""

import argparse
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.harness import noise, running
from bench.harness.server import server
from bench.lesson import page, picture, pools
from workers.local_stack.children import ROOT
from workers.local_stack.redis_server import StackError

PICTURE = ROOT / "build" / "lesson.svg"  # of a run that is not saved
GIL = "import sys, workers.celery; print(getattr(sys, '_is_gil_enabled', lambda: True)())"


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if all was measured, 1 if tasks ran in the wrong processes, or if nothing could be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.lesson", description="Which concurrency fits which work.")
    parser.add_argument("--quick", action="store_true", help="few pieces, once")
    parser.add_argument("--save", action="store_true", help="write the figures, the picture and the page's table")
    parser.add_argument("--picture", type=Path, default=PICTURE, help="where the picture goes, if it is not saved")
    chosen = parser.parse_args(arguments)
    began = time.monotonic()
    try:
        with server() as started, tempfile.TemporaryDirectory(prefix="interlock-lesson-") as folder:
            os.environ["REDIS_URL"] = f"redis://127.0.0.1:{started.port}/0"
            os.environ.pop("INTERLOCK_PREFIX", None)
            from bench.lesson import turns  # not above: it loads the tasks' settings, and they read REDIS_URL

            plan = turns.QUICK if chosen.quick else turns.Plan()
            machine = noise.machine(started.version())
            machine |= {"cores": str(cores()), "Python": python()}
            with _progress(len(turns.rows(plan)) + len(pools.MANY)) as tell:
                measured = turns.measure(plan, Path(folder), tell)
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    machine["load after"] = noise.load()
    machine["took"] = f"{time.monotonic() - began:.0f} s"
    figures = {"machine": machine, "plan": asdict(plan), **asdict(measured)}
    page.show(figures)
    for line in measured.wrong():
        print(f"WRONG: {line}")
    if chosen.save and not measured.wrong():
        running.save(page.RESULTS, figures)
        page.write(figures)
        picture.write(figures, picture.PICTURE)
    else:
        picture.write(figures, chosen.picture)
        print(f"The picture: {chosen.picture}")
    return 1 if measured.wrong() else 0


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def python() -> str:
    """Return which Python this is, and whether a worker on it has the GIL: a free-threaded build may have it, too."""
    asked = [sys.executable, "-c", GIL]
    with_gil = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    return described(bool(sysconfig.get_config_var("Py_GIL_DISABLED")), with_gil == "True")


def described(free_threaded: bool, with_gil: bool) -> str:
    """Return name, version and build of this Python, as people read them."""
    name = f"{sys.implementation.name.replace('cpython', 'CPython')} {sys.version.split()[0]}"
    if not free_threaded:
        return f"{name}, with the GIL"
    return f"{name}, free-threaded build, {'but the GIL is on' if with_gil else 'without the GIL'}"


@contextmanager
def _progress(total: int) -> Iterator[running.Tell]:
    """Show a progress bar, or lines where there is no terminal; yield the function to call as each step begins."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description:<24}"), BarColumn(32), MofNCompleteColumn(), TimeElapsedColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    ) as progress:  # fmt: skip
        bar = progress.add_task("starting", total=total)
        begun = 0

        def tell(step: str) -> None:
            nonlocal begun
            progress.update(bar, description=step, completed=begun)
            begun += 1
            if progress.disable:
                running.tell(step)

        yield tell


if __name__ == "__main__":
    running.run(main)
