"""Judge the claim of each example, by what its tasks returned in the one run that the example makes.

There is a function for each claim; it returns a verdict. A `Run` is what one task returned: the host and the process id
where it ran, and what it has noted. Times are in seconds, by the server's clock unless a function says otherwise.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tasks import Line
from tasks.support.clock import most_at_once

Run = Mapping[str, Any]  # what a task returned
Process = tuple[str, int]  # host and process id
PRIMES = 5_761_455  # pi(10^8): https://oeis.org/A006880


@dataclass(frozen=True)
class Verdict:
    """Whether a claim held in one run of an example.

    Args:
        result: what came out, in a few words.
        claim: what the example should show.
        held: whether it did.
        tasks: how many tasks ran.
        processes: where each of them ran.
    """

    result: str
    claim: str
    held: bool
    tasks: int
    processes: Sequence[Process]


def processes_of(runs: Iterable[Run]) -> list[Process]:
    """Return the process of each run."""
    return [(run["host"], run["pid"]) for run in runs]


def numbers_and_letters_interleave(lines: Sequence[Line]) -> Verdict:
    """Count how often a number follows a letter, or a letter a number, in the order in which the lines arrived."""
    kinds = [line.text.split(":")[0] for line in lines]
    changes = sum(one != next for one, next in pairwise(kinds))
    return Verdict(
        f"{changes} changes between numbers and letters",
        "numbers and letters interleave",
        len(lines) == 10 and changes >= 3,
        tasks=2,
        processes=[line.process for line in lines],
    )


def updates_are_lost(final: int, runs: Sequence[Run]) -> Verdict:
    """Look for lost updates: the final value is not 0, or a task has noted that it overwrote another's update."""
    lost = max(abs(final), sum(run["overwrote"] for run in runs))
    return Verdict(
        f"{final:,}: at least {lost:,} updates lost",
        "without a lock, updates are lost",
        lost > 0,
        tasks=2,
        processes=processes_of(runs),
    )


def no_update_is_lost(final: int, runs: Sequence[Run], under: str) -> Verdict:
    """Compare the final value with 0: one task has added as much as the other has subtracted."""
    return Verdict(f"{final}", f"under {under}, no update is lost", final == 0, tasks=2, processes=processes_of(runs))


def at_most_three_are_inside(result: Run, lines: Sequence[Line]) -> Verdict:
    """Count how many of the eight tasks were inside at one moment."""
    most = most_at_once([(stay["began"], stay["ended"]) for stay in result["stays"]])
    return Verdict(
        f"{result['items']}, at most {most} inside",
        "never more than 3 hold the semaphore, and more than 1 does",
        1 < most <= 3 and len(result["stays"]) == 8,
        tasks=9,
        processes=[line.process for line in lines],
    )


def square_and_cube_overlap(square: Run, cube: Run) -> Verdict:
    """Check both numbers, and that the two tasks ran at the same time in two processes."""
    overlap = most_at_once([(run["began"], run["ended"]) for run in (square, cube)]) == 2
    processes = processes_of((square, cube))
    return Verdict(
        f"square {square['square']}, cube {cube['cube']}",
        "square and cube overlap in different processes",
        (square["square"], cube["cube"]) == (100, 1000) and overlap and len(set(processes)) == 2,
        tasks=2,
        processes=processes,
    )


def buffer_keeps_its_bound(runs: Sequence[Run], put: int, taken: int) -> Verdict:
    """Check how full the two producers saw the buffer, and that the two consumers got each of the 24 items once."""
    produced, consumed = runs[:2], runs[2:]
    most = max(run["most"] for run in produced)
    there, here = set(processes_of(produced)), set(processes_of(consumed))
    once = sorted(item for run in consumed for item in run["items"]) == list(range(24))
    return Verdict(
        f"at most {most} in the buffer, {put} put, {taken} taken",
        "never more than 3 in it, and each item is consumed once, in another process",
        most <= 3 and once and not there & here,
        tasks=4,
        processes=[*there, *here],
    )


def all_arrive_in_order(kind: str, sender: Run, receiver: Run) -> Verdict:
    """Check that the receiver, in another process than the sender, got 0 to 9 in order, each once."""
    there, here = processes_of((sender, receiver))
    return Verdict(
        f"{len(receiver['items'])} of 10 {kind} arrived",
        f"{kind} arrive in another process, in order, each once",
        receiver["items"] == list(range(10)) and there != here,
        tasks=2,
        processes=[there, here],
    )


def every_square_is_counted(counts: Sequence[int], squares: int, runs: Sequence[Run]) -> Verdict:
    """Compare the array with the last digits as this process counts them."""
    ends = [number * number % 10 for number in range(squares)]
    return Verdict(
        f"{sum(counts):,} of {squares:,} counted",
        "under the array's own lock, no update of an element is lost",
        counts == [ends.count(digit) for digit in range(10)],
        tasks=2,
        processes=processes_of(runs),
    )


def all_go_on_when_it_is_set(was_set: float, runs: Sequence[Run]) -> Verdict:
    """Compare when each task went on with when the event was set."""
    last = max(run["went_on"] for run in runs) - was_set
    return Verdict(
        f"all on {1000 * last:.0f} ms after the set",
        "nobody goes on before the event is set, and all do within 2 s of it",
        all(was_set <= run["went_on"] <= was_set + 2 for run in runs),
        tasks=4,
        processes=processes_of(runs),
    )


def rounds_do_not_overlap(runs: Sequence[Run]) -> Verdict:
    """Compare when the first task began each round with when the last task finished the round before."""
    rounds = list(zip(*(run["rounds"] for run in runs), strict=True))
    gaps = [min(began for began, _ in new) - max(ended for _, ended in old) for old, new in pairwise(rounds)]
    return Verdict(
        f"{len(rounds)} rounds, the next begins {1000 * min(gaps):.1f} ms after the last work or later",
        "nobody enters a round before all have finished the one before",
        min(gaps) >= 0,
        tasks=4,
        processes=processes_of(runs),
    )


def primes_are_all_counted(count: int, parts: int, lines: Sequence[Line]) -> Verdict:
    """Compare the sum of all parts with the known number of primes below a hundred million."""
    processes = {line.process for line in lines}
    return Verdict(
        f"{count:,}",
        "the sum of all parts is the known value, and several processes took part",
        count == PRIMES and len(processes) > 1,
        tasks=parts + 1,
        processes=list(processes),
    )


def tiles_fit_together(tiles: Sequence[Run], corners: Sequence[tuple[int, int]], file: str) -> Verdict:
    """Check that there is one tile for each corner, and that more than one process drew them."""
    processes = processes_of(tiles)
    return Verdict(
        f"{len(tiles)} tiles, {file}",
        "tiles spread over several processes, and fit together",
        len(set(processes)) > 1 and [(tile["x"], tile["y"]) for tile in tiles] == corners,
        tasks=len(tiles),
        processes=processes,
    )


def the_token_is_needed(left: Sequence[int], runs: Sequence[Run]) -> Verdict:
    """Check how many items each way of selling has left, of one item that two buyers wanted."""
    return Verdict(
        f"left: {left}",
        "a lock is not enough when its holder is stopped; its token, looked at by the table, is",
        left == [-1, 0, -1, 0],
        tasks=16,
        processes=processes_of(runs),
    )


def at_most_four_at_once(pages: Sequence[Run], stays: list[tuple[float, float]]) -> Verdict:
    """Count how many requests the server had at one moment, by its own clock, and check that every page has come."""
    most = most_at_once(stays)
    return Verdict(
        f"{most} at once",
        "at most 4 at once, and more than 1",
        all(page["error"] is None for page in pages) and 1 < most <= 4,
        tasks=1,
        processes=[],
    )
