"""Print the counter's tables: medians with the least and the greatest of all turns, ratios of one run, and the aims."""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from rich import box
from rich.console import Console
from rich.table import Table

from bench.counter.counting import Case
from bench.counter.hot_path import STEPS
from bench.counter.turns import OURS, Measured
from bench.harness.noise import disturbance

WIDTH = 176  # columns
FLAT = 1.2  # a section with many waiters over one with few: up to this we call it flat
PEERS = {"multiprocessing.Value": "multipr.", "threading.Lock": "threading", "redis-py": "redis-py"}
AIMS = {"multiprocessing.Value": 1.0, "threading.Lock": 0.25, "redis-py": 500.0}  # our rate over the peer's
HANDED = 10.0  # ms that a hand-over may take besides linger time and section, with a core for each process
KEPT = 0.9  # the part of the rate that must be left after the tasks
GRANT = 8  # values in a grant, at most


class Verdicts:
    """The aims that were not met."""

    def __init__(self) -> None:
        self.short: list[str] = []

    def cell(self, met: bool, aim: str, said: str) -> str:
        """Return the cell in the column of aims; note an aim that was not met."""
        if not met:
            self.short.append(f"{said}; aim {aim}")
        return f"{aim}: {'met' if met else 'SHORT'}"


def spread(values: Iterable[float], digits: int = 0) -> str:
    """Return `median (least..greatest)`."""
    all_values = list(values)
    middle, least, most = (f"{f(all_values):,.{digits}f}" for f in (median, min, max))
    return middle if least == most else f"{middle} ({least}..{most})"


def show(measured: Measured, machine: Mapping[str, str], cases: Sequence[Case], turns: int) -> None:
    """Print the machine, all tables, the noise, and every failure and aim that was not met."""
    console = Console(width=WIDTH, highlight=False, markup=False, soft_wrap=True)
    console.print()
    for name, value in machine.items():
        console.print(f"{name:12} {value}")
    console.print(f"{'figures':12} median (least..greatest) of {turns} turns of each row; ratios of medians\n")
    verdicts = Verdicts()
    _rates(console, measured, [case for case in cases if measured.rates(case.name)], verdicts)
    if measured.waited:
        _waits(console, measured, verdicts)
    if measured.queued:
        _queues(console, measured, verdicts)
    if measured.grown:
        _growth(console, measured, verdicts)
    _hot_path(console, measured)
    looks = measured.looks()
    console.print(
        f"The machine's noise: fixed work {spread((each.loop_ms for each in looks), 1)} ms, PING p50 "
        f"{spread(each.ping_p50_us for each in looks)} us, p99 {spread(each.ping_p99_us for each in looks)} us."
    )
    disturbance(console, looks)
    console.print()
    for line in measured.failed:
        console.print(f"FAILED: {line}")
    for line in measured.wrong():
        console.print(f"WRONG: it did not end at 0: {line}")
    for line in verdicts.short:
        console.print(f"Short of the aim: {line}.")
    if not verdicts.short and not measured.failed:
        console.print("Every aim was met.")


def _table(title: str, *columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _rates(console: Console, measured: Measured, cases: Sequence[Case], verdicts: Verdicts) -> None:
    middle = {case.name: median(measured.rates(case.name)) for case in cases}
    table = _table(
        "The locked counter: +1 and -1, each update under the lock",
        "updates", "1,000 updates/s", "left", "PING ms", "/ interlock",
        *(f"/ {short}" for short in PEERS.values()), "aim",
    )  # fmt: skip
    for case in cases:
        mine = [turn for turn in measured.turns if turn.case == case.name]
        ratio = middle[case.name] / middle.get(case.against, math.nan)
        aim = ""
        if case.aim is not None:
            said = f"{case.name} reaches {ratio:.1%} of {case.against}"
            aim = verdicts.cell(ratio >= case.aim, f">= {case.aim:.0%}", said)
        elif case.name in AIMS:
            ours, wanted = middle.get(OURS, math.nan) / middle[case.name], AIMS[case.name]
            aim = verdicts.cell(ours >= wanted, f"ours >= {wanted:g} x", f"{OURS} reaches {times(ours)} {case.name}")
        table.add_row(
            case.name,
            f"{mine[0].counted.updates:,}",
            spread((rate / 1000 for rate in measured.rates(case.name)), 1),
            spread(turn.counted.left for turn in mine),
            f"{median(turn.rtt_us for turn in mine) / 1000:.2f}",
            times(ratio) if case.against else "",
            *(times(middle[case.name] / middle.get(peer, math.nan)) if peer != case.name else "" for peer in PEERS),
            aim,
        )
    console.print(table)
    console.print(
        "  Left: what the counter shows at the end; anything but 0 is no lock. Two processes unless the name says "
        "otherwise; threading.Lock: two\n  threads of one; multiprocessing and threading are of one machine and ask no "
        "server. / peer: this rate over the peer's. PING: p50.\n"
    )


def times(ratio: float) -> str:
    """Return a ratio with as many digits as people read."""
    return f"{ratio:,.0f} x" if ratio >= 10 else f"{ratio:.2f} x" if ratio >= 0.1 else f"{ratio:.4f} x"


def _waits(console: Console, measured: Measured, verdicts: Verdicts) -> None:
    waited = measured.waited
    table = _table(
        "Another process asks while one counts",
        "waits",
        "p50 ms",
        "longest ms",
        "linger + section ms",
        "beyond ms",
        "aim",
    )
    beyond = [each.longest_ms - each.bound_ms for each in waited]
    table.add_row(
        OURS,
        f"{sum(each.waits for each in waited):,}",
        spread((each.p50_ms for each in waited), 1),
        spread((each.longest_ms for each in waited), 1),
        spread((each.bound_ms for each in waited), 1),
        spread(beyond, 1),
        verdicts.cell(
            median(beyond) <= HANDED,
            f"beyond <= {HANDED:g} ms",
            f"the longest wait is {median(beyond):.1f} ms beyond linger time and section",
        ),
    )
    console.print(table)
    console.print("  Beyond: the hand-over, and whatever else kept both cores.\n")


def _queues(console: Console, measured: Measured, verdicts: Verdicts) -> None:
    table = _table(
        "A strict lock's acquire and release, so many others queued",
        "sections/s", "us a section", "against the first", "server CPU us", "in scripts us", "aim",
    )  # fmt: skip
    first = None
    for waiters in dict.fromkeys(each.waiters for each in measured.queued):
        mine = [each for each in measured.queued if each.waiters == waiters]
        took = median(each.cycle_us for each in mine)
        first = first or took
        aim = ""
        if took is not first:
            said = f"with {waiters:,} queued a section takes {took / first:.2f} times what it takes with the fewest"
            aim = verdicts.cell(took <= FLAT * first, f"<= {FLAT:g} x", said)
        table.add_row(
            f"{waiters:,} waiting",
            spread(each.per_second for each in mine),
            spread(each.cycle_us for each in mine),
            times(took / first),
            spread(each.server_us for each in mine),
            spread(each.scripts_us for each in mine),
            aim,
        )
    console.print(table)
    console.print(
        "  Threads of two processes; who has released asks again. A waiter also says once a second that it is there: "
        "that is within the figures.\n"
    )


def _growth(console: Console, measured: Measured, verdicts: Verdicts) -> None:
    grown = measured.grown
    table = _table(
        f"The counter before and after {grown[0].tasks:,} finished tasks, each with a value of its own under its lock",
        "alone, updates/s", "two processes, updates/s", "asks for, chars", "grant, chars", "aim",
    )  # fmt: skip
    moments = {"before": [each.before for each in grown], "after": [each.after for each in grown]}
    alone, both = (
        [median(getattr(size, which) for size in sizes) for sizes in moments.values()]
        for which in ("alone_per_second", "both_per_second")
    )
    for name, sizes in moments.items():
        aim = ""
        if name == "after":
            kept = min(alone[1] / alone[0], both[1] / both[0])
            said = f"after {grown[0].tasks:,} tasks the counter has {kept:.0%} of its rate"
            aim = verdicts.cell(kept >= KEPT, f">= {KEPT:.0%} of before", said)
        table.add_row(
            name,
            spread(size.alone_per_second for size in sizes),
            spread(size.both_per_second for size in sizes),
            spread(size.wants for size in sizes),
            spread(size.grant for size in sizes),
            aim,
        )
    console.print(table)
    console.print(
        f"  {spread(each.tasks_per_second for each in grown)} tasks/s. Alone: at once, under the tasks' last hold. "
        f"A grant brings {GRANT} values at most.\n"
    )


def _hot_path(console: Console, measured: Measured) -> None:
    table = _table("One `with value.get_lock(): value.value += 1`, nobody else counts, in ns", "all", *STEPS, "rest")
    for name, split in measured.hot_path.items():
        steps = (split.update, *(getattr(split, step) for step in STEPS), split.rest)
        table.add_row(name, *(f"{each:,.0f}" for each in steps))
    console.print(table)
    console.print("  Rest: the addition, the `with` statement, what is slower together than alone.\n")
