"""Print the tables: medians with the least and the greatest of all turns, and the figures in which a peer is ahead."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from rich import box
from rich.console import Console
from rich.table import Table

from bench.harness.noise import disturbance
from bench.locks.adapters import LOCKS, OURS
from bench.locks.contended import Contended
from bench.locks.turns import Network, Plan, Turn

WIDTH = 150  # columns
MORE, LESS, NEITHER = 1, -1, 0  # which is better


@dataclass(frozen=True)
class Figure:
    """One column."""

    title: str
    read: Callable[[Turn], float]
    better: int
    digits: int

    def of(self, turns: Sequence[Turn], lock: str) -> list[float]:
        """Return what each turn of a lock showed; a turn that showed nothing is left out."""
        return [value for turn in turns if turn.lock == lock and not math.isnan(value := self.read(turn))]

    def cell(self, values: Sequence[float]) -> str:
        """Return `median (least..greatest)`."""
        if not values:
            return "-"
        middle, least, most = (f"{value:,.{self.digits}f}" for value in (median(values), min(values), max(values)))
        return middle if least == most else f"{middle} ({least}..{most})"

    def lead(self, ours: Sequence[float], theirs: Sequence[float]) -> str | None:
        """Return by how much their median is ahead of ours; None if it is not."""
        if not ours or not theirs or self.better * (median(theirs) - median(ours)) <= 0:
            return None
        overlap = min(theirs) <= max(ours) and min(ours) <= max(theirs)
        they, we = (f"{median(values):,.{self.digits}f}" for values in (theirs, ours))
        if they == we:
            return None
        return f"{self.title}: {they} against {we}{', ranges overlap' if overlap else ''}"


@dataclass(frozen=True)
class Part:
    """One table."""

    title: str
    explained: str
    figures: tuple[Figure, ...]

    def show(self, console: Console, turns: Sequence[Turn]) -> None:
        """Print the table, and which peers are ahead of Interlock in it."""
        measured = [lock for lock in LOCKS if any(turn.lock == lock for turn in turns)]
        table = Table(box=box.SIMPLE_HEAD, title=self.title, title_justify="left", title_style="bold")
        table.add_column("")
        for figure in self.figures:
            table.add_column(figure.title, justify="right")
        for lock in measured:
            table.add_row(lock, *(figure.cell(figure.of(turns, lock)) for figure in self.figures))
        console.print(table)
        console.print(f"  {self.explained}")
        if OURS not in measured:
            return
        ahead = False
        for lock in measured:
            leads = [figure.lead(figure.of(turns, OURS), figure.of(turns, lock)) for figure in self.figures]
            said = "; ".join(lead for lead in leads if lead)
            if lock != OURS and said:
                console.print(f"  Ahead of {OURS}: {lock} ({said}).")
                ahead = True
        if not ahead:
            console.print(f"  No peer is ahead of {OURS} here.")
        console.print()


def parts(plan: Plan) -> list[Part]:
    """Return all tables."""
    return [
        Part(
            "Uncontended: one process acquires and releases",
            "Round trips a cycle: what the proxy adds to a cycle (p50), over what it adds to a PING (p50). "
            "On a busy machine trust p10.",
            (
                Figure("cycles/s, loopback", lambda turn: turn.near_alone.per_second, MORE, 0),
                Figure("cycle p50 us, loopback", lambda turn: turn.near_alone.p50_us, LESS, 0),
                Figure("p10 us", lambda turn: turn.near_alone.p10_us, LESS, 0),
                Figure("cycle p50 ms, proxy", lambda turn: turn.far_alone.p50_us / 1000, LESS, 2),
                Figure("round trips", lambda turn: turn.round_trips, LESS, 2),
            ),
        ),
        Part(
            f"Contended: {plan.processes} processes, each holds {plan.hold * 1000:g} ms and asks again at once",
            "Overlaps: sections entered before the one before was released. Anything but 0 is no lock.",
            (
                Figure("sections/s, loopback", lambda turn: turn.near.per_second, MORE, 0),
                Figure("sections/s, proxy", lambda turn: turn.far.per_second, MORE, 0),
                Figure("overlaps", lambda turn: turn.near.overlaps + turn.far.overlaps, LESS, 0),
            ),
        ),
        _handover("loopback", lambda turn: turn.near, far=False),
        _handover("proxy", lambda turn: turn.far, far=True),
        _fairness("loopback", lambda turn: turn.near, plan.processes),
        _fairness("proxy", lambda turn: turn.far, plan.processes),
        Part(
            "What it costs the server",
            "us of CPU of all its threads, by INFO cpu; us within scripts, by INFO commandstats.",
            (
                Figure("CPU/cycle, uncontended", lambda turn: turn.alone_spent.cpu_us, LESS, 0),
                Figure("scripts/cycle", lambda turn: turn.alone_spent.scripts_us, LESS, 0),
                Figure("CPU/section, loopback", lambda turn: turn.near_spent.cpu_us, LESS, 0),
                Figure("scripts/section", lambda turn: turn.near_spent.scripts_us, LESS, 0),
                Figure("CPU/section, proxy", lambda turn: turn.far_spent.cpu_us, LESS, 0),
            ),
        ),
    ]


def _handover(where: str, read: Callable[[Turn], Contended], far: bool) -> Part:
    trips = (
        Figure("p50 in RTT", lambda turn: read(turn).handover_p50_ms * 1000 / turn.far_rtt_us, LESS, 2),
        Figure("p99 in RTT", lambda turn: read(turn).handover_p99_ms * 1000 / turn.far_rtt_us, LESS, 2),
    )
    return Part(
        f"Hand-over, {where}: from one process's call of release to another's entry, in the contended window",
        "Entries by another: the rest are by the process that had the lock last, before those that waited; they count "
        f"in no hand-over.{' RTT: a PING p50, same turn.' if far else ''}",
        (
            Figure("p50 ms", lambda turn: read(turn).handover_p50_ms, LESS, 2),
            Figure("p99 ms", lambda turn: read(turn).handover_p99_ms, LESS, 2),
            *(trips if far else ()),
            Figure("% of entries by another", lambda turn: 100 * read(turn).changed, NEITHER, 0),
        ),
    )


def _fairness(where: str, read: Callable[[Turn], Contended], processes: int) -> Part:
    return Part(
        f"Fairness, {where}",
        f"Jain's index over the sections of each process: 1: all have as many; {1 / processes:.3g}: one has all. "
        f"Fair share: {processes} x (hold + hand-over), p50.",
        (
            Figure("Jain", lambda turn: read(turn).jain, MORE, 3),
            Figure("longest wait ms", lambda turn: read(turn).longest_wait_ms, LESS, 0),
            Figure("fair share ms", lambda turn: read(turn).fair_share_ms, NEITHER, 0),
            Figure("longest / fair", lambda turn: read(turn).longest_wait_ms / read(turn).fair_share_ms, LESS, 1),
        ),
    )


def show(
    turns: Sequence[Turn], network: Network, machine: Mapping[str, str], left_out: Mapping[str, str], plan: Plan
) -> None:
    """Print the machine, the locks, all tables and the noise."""
    console = Console(width=WIDTH, highlight=False, markup=False, soft_wrap=True)
    console.print()
    for name, value in machine.items():
        console.print(f"{name:12} {value}")
    console.print(
        f"{'proxy':12} PING p50 {network.far_rtt_us / 1000:.2f} ms, on loopback {network.near_rtt_us:.0f} us; "
        f"{plan.processes} processes at once: {network.far_pings:,.0f} PINGs/s, {network.used(plan.processes):.0%} of "
        f"what that round trip allows; on loopback {network.near_pings:,.0f}"
    )
    console.print(f"{'figures':12} median (least..greatest) of {plan.turns} turns of each lock\n")
    for lock in dict.fromkeys(turn.lock for turn in turns):
        entry, first = LOCKS[lock], next(turn for turn in turns if turn.lock == lock)
        sent = ", ".join(f"{count:g} {name}" for name, count in first.commands.items())
        console.print(f"{lock:18} {entry.version:8} {entry.licence:13} {entry.note}; a cycle sends {sent}")
    for lock, reason in left_out.items():
        console.print(f"{lock:18} left out: {reason}")
    console.print()
    for part in parts(plan):
        part.show(console, turns)
    _noise(console, turns)


def _noise(console: Console, turns: Sequence[Turn]) -> None:
    figures = (
        Figure("fixed work ms, before", lambda turn: turn.before.loop_ms, NEITHER, 1),
        Figure("after", lambda turn: turn.after.loop_ms, NEITHER, 1),
        Figure("PING p50 us, before", lambda turn: turn.before.ping_p50_us, NEITHER, 0),
        Figure("after", lambda turn: turn.after.ping_p50_us, NEITHER, 0),
        Figure("PING p99 us, before", lambda turn: turn.before.ping_p99_us, NEITHER, 0),
        Figure("after", lambda turn: turn.after.ping_p99_us, NEITHER, 0),
    )
    table = Table(box=box.SIMPLE_HEAD, title="The machine's noise", title_justify="left", title_style="bold")
    table.add_column("")
    for figure in figures:
        table.add_column(figure.title, justify="right")
    for lock in LOCKS:
        if any(turn.lock == lock for turn in turns):
            table.add_row(lock, *(figure.cell(figure.of(turns, lock)) for figure in figures))
    console.print(table)
    disturbance(console, [look for turn in turns for look in (turn.before, turn.after)])
