"""Print the tables: medians with the least and the greatest of all turns, and ratios to stock Celery, turn by turn."""

from collections.abc import Sequence
from statistics import median

from rich import box
from rich.console import Console
from rich.table import Table

from bench.harness.noise import disturbance
from bench.queue import systems
from bench.queue.systems import System
from bench.queue.turns import Measured, Plan, Turn, Work

WIDTH = 120  # columns
ARDIQ = "ArdiQ 95.3, Taskiq 96.9, Streaq 91.8, arq 87.6, Dramatiq 94.1, Celery 71.2"
"""The row "I/O-bound" of the table on https://pypi.org/project/ardiq/1.2.0/, in tasks a second."""


def spread(values: Sequence[float], form: str) -> str:
    """Return `median (least..greatest)`; one value alone has no spread."""
    middle, least, most = (format(value, form) for value in (median(values), min(values), max(values)))
    return middle if len(values) == 1 else f"{middle} ({least}..{most})"


def ratios(ours: dict[int, Turn], theirs: dict[int, Turn], figure: str) -> list[float]:
    """Return the ratio of a figure to another row's, for each turn that both rows have."""
    return [getattr(ours[number], figure) / getattr(theirs[number], figure) for number in sorted(ours.keys() & theirs)]


def rows(
    measured: Measured, plan: Plan, work: str, listed: Sequence[System], figure: str
) -> list[tuple[str, str, str]]:
    """Return name, figure and ratio of each system. A system that went wrong in any turn has no figure."""
    made = []
    for system in listed:
        own = measured.of(work, system.name)
        whole = len(own) == plan.turns
        cells = [system.name, spread([getattr(turn, figure) for turn in own.values()], ",.0f") if whole else "wrong"]
        beside = measured.of(work, system.beside) if system.beside else {}
        compared = ratios(own, beside, figure) if whole and len(beside) == plan.turns else []
        made.append((cells[0], cells[1], spread(compared, ".2f") if compared else ""))
    return made


def show(console: Console, plan: Plan, tables: Sequence[Work], measured: Measured) -> None:
    """Print all tables, what they leave out, and how quiet the machine was."""
    at_once = f"{plan.at_once} threads or coroutines, or {plan.processes} processes"
    for work in tables:
        does = f"waits {work.seconds * 1000:g} ms" if work.seconds else "does nothing"
        title = f"Tasks a second, {work.name}: {work.tasks:,} tasks, each {does}; {at_once}"
        _print(console, title, rows(measured, plan, work.name, work.systems, "per_second"))
        if work.seconds:
            console.print(f"  No more than {plan.at_once / work.seconds:,.0f} a second are possible.")
            console.print(f"  ArdiQ's own table, of another machine (pypi.org/project/ardiq/1.2.0): {ARDIQ}.\n")
        else:
            title = f"Enqueued messages a second, one process, {work.name}"
            _print(console, title, rows(measured, plan, work.name, systems.PRODUCERS, "enqueued_per_second"))
    console.print(
        "  The ratio is to stock Celery on the same pool, for coroutines and other packages on threads, turn by turn.\n"
        "  Stock Celery has the project's settings of acknowledgement, prefetching, results and events, except where\n"
        "  its row says otherwise; dramatiq and taskiq have their defaults."
    )
    if measured.turns:
        disturbance(console, measured.looks())
    for line in measured.wrong:
        console.print(f"WRONG: {line}")


def _print(console: Console, title: str, lines: Sequence[tuple[str, str, str]]) -> None:
    console.print(title, style="bold")  # not as the table's title, which is broken at its width
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("")
    table.add_column("a second", justify="right")
    table.add_column("beside Celery", justify="right")
    for cells in lines:
        table.add_row(*cells)
    console.print(table)
