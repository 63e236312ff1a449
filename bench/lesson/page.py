"""Show the lesson's tables, on the terminal and in docs/explanation/lesson.md, from the figures as they are saved.

.venv/bin/python -m bench.lesson.picture      the page's table and the picture, from bench/results/lesson.json
"""

from dataclasses import dataclass
from statistics import median
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from bench.harness import running

RESULTS = running.RESULTS / "lesson.json"
PAGE = running.ROOT / "docs" / "explanation" / "lesson.md"
BEGIN, END = "<!-- figures: written by `make lesson ARGS=--save` -->", "<!-- end of figures -->"
COLUMNS = ("", "at once", "CPU-bound, s", "speed-up", "waiting, s", "speed-up", "processes", "memory, MB", "RSS, MB")

QUIET = 15.0  # percent: a busier machine takes from the processors that the speed-ups are about
MANY_COLUMNS = ("", "at once", "waiting, s", "speed-up", "memory, MB")


@dataclass(frozen=True)
class Row:
    """The figures of one worker."""

    pool: str
    at_once: int
    cpu_seconds: float
    io_seconds: float
    cpu_speedup: float  # over the first row, the one thread
    io_speedup: float
    processes: int  # those that run no tasks included
    own_mb: float
    resident_mb: float

    def cells(self) -> tuple[str, ...]:
        """Return the row as people read it."""
        return (
            self.pool, str(self.at_once), f"{self.cpu_seconds:.2f}", f"{self.cpu_speedup:.1f}",
            f"{self.io_seconds:.2f}", f"{self.io_speedup:.1f}", str(self.processes), f"{self.own_mb:.0f}",
            f"{self.resident_mb:.0f}",
        )  # fmt: skip


def rows(figures: dict[str, Any]) -> list[Row]:
    """Return a row for each worker, in the order in which they ran."""
    seconds = {(ran["pool"], ran["at_once"], ran["kind"]): median(ran["seconds"]) for ran in figures["ran"]}
    made: list[Row] = []
    for weighed in figures["weighed"]:
        pool, at_once, took = weighed["pool"], weighed["at_once"], weighed["memory"]
        cpu, io = (seconds[pool, at_once, kind] for kind in ("cpu", "io"))
        first = made[0] if made else None
        made.append(Row(
            pool, at_once, cpu, io, first.cpu_seconds / cpu if first else 1.0, first.io_seconds / io if first else 1.0,
            took["processes"], took["own_mb"], took["resident_mb"],
        ))  # fmt: skip
    return made


def many(figures: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return the second table's cells, under MANY_COLUMNS: very many waits at once, on each pool that tried."""
    pause = figures["plan"]["many_pause"]

    def cells(pool: str, at_once: int, seconds: float, memory: dict[str, Any]) -> tuple[str, ...]:
        speedup = at_once * pause / seconds
        return pool, str(at_once), f"{seconds:.2f}", f"{speedup:.0f}", f"{memory['own_mb']:.0f}"

    return [cells(**each) for each in figures["many"]]


def title(figures: dict[str, Any]) -> str:
    """Return the line that says on which machine it ran, and when."""
    machine = figures["machine"]
    cores = f"{machine['cores']} core{'' if machine['cores'] == '1' else 's'}"
    return f"{cores}, {machine['Python']}, {machine['system']}, {machine['date'][:10]}"


def how(figures: dict[str, Any]) -> str:
    """Return the line that explains the first table."""
    plan = figures["plan"]
    return (
        f"{plan['pieces']} pieces of each kind, median of {plan['turns']} turns. CPU-bound: a Mandelbrot tile of "
        f"{plan['side']} x {plan['side']} pixels. Waiting: {plan['pause']:g} s. Speed-up: over the first row. "
        "Memory: of the worker's processes, pages that are shared divided among those that share them (PSS)."
    )


def how_many(figures: dict[str, Any]) -> str:
    """Return the line that explains the second table."""
    return (
        f"Very many at once, each waits {figures['plan']['many_pause']:g} s, in one process; one turn. "
        "Speed-up: over what they wait one after the other."
    )


def show(figures: dict[str, Any]) -> None:
    """Print the tables."""
    console = Console(width=120, highlight=False, markup=False, soft_wrap=True)
    console.print(_table(title(figures), COLUMNS, [row.cells() for row in rows(figures)]))
    console.print(f"  {how(figures)}\n")
    console.print(_table(how_many(figures), MANY_COLUMNS, many(figures)))
    busy = median(figures["others"])
    console.print(f"  Busy with other things, between the workers: {busy:.0f} % of the processors.")
    if busy > QUIET:
        console.print("  That is too much: the speed-ups of CPU-bound work say little. Run it on a quiet machine.")


def _table(title: str, columns: tuple[str, ...], lines: list[tuple[str, ...]]) -> Table:
    table = Table(columns[0], box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    for column in columns[1:]:
        table.add_column(column, justify="right", no_wrap=True)
    for cells in lines:
        table.add_row(*cells)
    return table


def markdown(figures: dict[str, Any]) -> str:
    """Return the tables as the page has them."""
    first = _pipes(COLUMNS, [row.cells() for row in rows(figures)])
    second = _pipes(MANY_COLUMNS, many(figures))
    return "\n\n".join((f"{BEGIN}\n{title(figures)}", first, how(figures), how_many(figures), f"{second}\n{END}"))


def _pipes(columns: tuple[str, ...], lines: list[tuple[str, ...]]) -> str:
    whole = [columns, ("---", *["---:"] * (len(columns) - 1)), *lines]
    return "\n".join(f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in whole)


def write(figures: dict[str, Any]) -> None:
    """Write the tables into the page, in the place of the old ones."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(before + markdown(figures) + rest.partition(END)[2])
