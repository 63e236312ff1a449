"""What the log of one run says: which tasks were lost, which ran twice and why, and how soon killed ones ran again."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

SLACK = 2.0  # seconds: a worker that is killed so soon after a task's end may not have acknowledged it


@dataclass(frozen=True)
class Fault:
    """What was done to a worker, or to all of them (worker 0)."""

    kind: str
    worker: int
    """Its group of processes."""
    began: float
    ended: float


@dataclass(frozen=True)
class Outcome:
    """One run."""

    sent: int
    faults: int
    lost: tuple[int, ...]
    """Tasks that never ran to their end."""
    twice: dict[int, str]
    """Tasks that ran to their end twice, each with the fault that explains it; empty if none does."""
    again: tuple[float, ...]
    """For each task that began again after no retry: seconds between the two starts, in order."""

    @property
    def unexplained(self) -> list[int]:
        """Tasks that ran twice though nothing was done to their worker."""
        return [number for number, why in self.twice.items() if not why]

    def quantile(self, share: float) -> float:
        """Return the seconds within which that share of the killed tasks ran again."""
        return self.again[min(len(self.again) - 1, int(share * len(self.again)))] if self.again else float("nan")


def read(sent: int, log: Iterable[str], faults: Sequence[Fault], uncertain: Iterable[int] = ()) -> Outcome:
    """Return what a log says of the tasks 0 to `sent` - 1.

    Args:
        sent: how many tasks the producer has sent.
        log: the lines that they wrote.
        faults: what was done to their workers.
        uncertain: tasks whose producer got an error instead of an answer: they may have been sent, or not.

    Raises:
        ValueError: the log has a line of another form, a task that was never sent, or an end without a start.
    """
    events: dict[int, list[tuple[float, str, int]]] = defaultdict(list)
    for line in log:
        word, which, at, worker = line.split()
        if word not in ("start", "retry", "end"):
            raise ValueError(f"no such line: {line!r}")
        events[int(which)].append((float(at), word, int(worker)))
    if unknown := events.keys() - set(range(sent)):
        raise ValueError(f"never sent: {sorted(unknown)[:5]}")
    certain = sorted(set(range(sent)) - set(uncertain))
    lost = tuple(number for number in certain if not _count(events.get(number, ()), "end"))
    twice: dict[int, str] = {}
    again: list[float] = []
    for number, those in events.items():
        those.sort()
        if _count(those, "end") + _count(those, "retry") > _count(those, "start"):
            raise ValueError(f"task {number} ended without a start")
        if _count(those, "end") > 1:
            twice[number] = _why(those, faults)
        for (began, word, _), (begins, following, _) in pairwise(those):
            if word == following == "start":
                again.append(begins - began)
    return Outcome(sent, len(faults), lost, twice, tuple(sorted(again)))


def _count(events: Iterable[tuple[float, str, int]], word: str) -> int:
    return sum(each[1] == word for each in events)


def _why(events: Sequence[tuple[float, str, int]], faults: Iterable[Fault]) -> str:
    """Return the fault of a worker that ran the task while it ran, or just after; empty if there is none."""
    began, ended = events[0][0], events[-1][0]
    workers = {worker for _, _, worker in events} | {0}
    for each in faults:
        if each.worker in workers and each.began < ended + SLACK and each.ended > began - SLACK:
            return each.kind
    return ""


def table(rows: Sequence[tuple[str, Outcome]]) -> str:
    """Return the lines to print: for each transport its faults and its outcome."""
    lines = ["transport  faults    tasks   lost  ended twice  ran again, p50      p99"]
    for name, each in rows:
        lines.append(
            f"{name:<10} {each.faults:>6} {each.sent:>8,} {len(each.lost):>6} {len(each.twice):>12} "
            f"{each.quantile(0.5):>13.1f} s {each.quantile(0.99):>6.1f} s"
        )
    return "\n".join(lines)
