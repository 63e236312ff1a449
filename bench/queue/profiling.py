"""Show where a message's time goes: py-spy looks at a worker while it runs no-op tasks, and each look goes to a layer.

The layer of a look is the innermost frame that belongs to one; what a layer calls in the standard library, such as a
socket's `recv`, counts as the layer's. Only the thread that holds the interpreter's lock is looked at: this time bounds
the tasks a second of one process. So time within system calls, such as `send`, and waiting are not in it. Looks at a
worker that still imports its modules are left out.
"""

import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from bench.harness import environment
from bench.queue import systems, turns
from bench.queue.turns import Plan, Turn, Work
from workers.local_stack.children import ROOT

RATE = 200  # looks a second
TOP = 6  # functions shown of each layer
OURS, REST = "Interlock", "Python itself"
PACKAGES = {"redis": "redis-py", "kombu": "kombu", "celery": "Celery", "billiard": "billiard"}
LAYERS = (OURS, *PACKAGES.values(), REST)
FRAME = re.compile(r"(?P<function>.+) \((?P<path>[^()]*)\)$")
NO_FRAME = "no frame: the interpreter starts or ends"
IMPORTING = "<frozen importlib._bootstrap>"
INSTALLED = re.compile(r"/site-packages/(\w+)")


@dataclass(frozen=True)
class Profile:
    """What the looks at one worker showed."""

    system: str
    turn: Turn
    tasks: int
    looks: dict[str, Counter[str]]  # by layer and function

    def us(self, looks: int) -> float:
        """Return how long a number of looks stands for, in us a message during which a thread held the lock."""
        return looks / RATE / self.tasks * 1e6


def layer(path: str) -> str | None:
    """Return the layer that a source file belongs to; None: the standard library, or another package."""
    installed = INSTALLED.search(path)
    if installed:
        return PACKAGES.get(installed[1])
    return (
        OURS if any(path.startswith(f"{ROOT / name}/") for name in ("interlock", "tasks", "workers", "bench")) else None
    )


def sorted_out(lines: Iterable[str]) -> dict[str, Counter[str]]:
    """Return the looks by layer and function, from lines as py-spy writes them: frames, outermost first, and a count.

    Raises:
        ValueError: a line is not of that form.
    """
    looks: dict[str, Counter[str]] = defaultdict(Counter)
    for line in lines:
        stack, _, count = line.rpartition(" ")
        if IMPORTING in stack:
            continue
        frames = [parsed for each in stack.split(";") if (parsed := FRAME.match(each))]  # a process's name is no frame
        owned = [(owner, frame) for frame in frames if (owner := layer(frame["path"]))]
        if owned:
            looks[owned[-1][0]][_named(owned[-1][1])] += int(count)
        else:
            looks[REST][_named(frames[-1]) if frames else NO_FRAME] += int(count)
    return dict(looks)


def _named(frame: re.Match[str]) -> str:
    """Return a frame's function, and the end of its file's path."""
    return f"{frame['function']} ({'/'.join(Path(frame['path']).parts[-2:])})"


def measure(plan: Plan, tell: Callable[[str], None]) -> list[Profile]:
    """Look at a worker on each of our pools.

    Raises:
        InstallError: the profiler cannot be installed.
        WrongError: a worker did not run each task once, or the profiler may not look at it.
    """
    spy = str(environment.ensure("profiler") / "py-spy")
    work = Work("profile", systems.PROJECT, plan.tasks)
    profiles = []
    for system in work.systems:
        tell(f"profile: {system.name}")
        with tempfile.TemporaryDirectory(prefix="interlock-profile-") as folder:
            written = Path(folder) / "looks"
            wrapper = (
                spy, "record", "--gil", "--subprocesses", "--nolineno", "--full-filenames", "--format", "raw",
                "--rate", str(RATE), "--output", str(written), "--",
            )  # fmt: skip
            turn = turns.turn(system, work, plan, 1, wrapper)
            profiles.append(Profile(system.name, turn, work.tasks, sorted_out(written.read_text().splitlines())))
    return profiles


def show(console: Console, profiles: Iterable[Profile]) -> None:
    """Print a table for each pool: the layers, and the functions at the top of each."""
    for profile in profiles:
        whole = sum(counts.total() for counts in profile.looks.values())
        title = f"{profile.system}: {profile.turn.per_second:,.0f} tasks/s with the profiler, {whole:,} looks"
        table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
        table.add_column("")
        table.add_column("part", justify="right")
        table.add_column("us a message", justify="right")
        for name in LAYERS:
            counts = profile.looks.get(name, Counter())
            table.add_row(name, *_cells(profile, counts.total(), whole), style="bold")
            for function, count in counts.most_common(TOP):
                table.add_row(f"  {function}", *_cells(profile, count, whole))
        console.print(table)


def _cells(profile: Profile, looks: int, whole: int) -> tuple[str, str]:
    return f"{100 * looks / max(1, whole):.0f} %", f"{profile.us(looks):,.0f}"
