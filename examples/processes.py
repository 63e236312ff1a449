"""Square and cube of a number, computed at the same time in two worker processes.

Run:      make up, then in another terminal: python -m examples.processes
You see:  "Square: 100" and "Cube: 1000", each from a process of its own.
"""

import sys

from celery import group

from examples._verdict import conclude
from tasks import print_cube, print_square, watch
from tasks.support.clock import most_at_once


def main() -> int:
    (square, cube), _ = watch(group(print_square.s(10, pause=2.0), print_cube.s(10, pause=2.0)).delay())
    print("Done!")

    overlap = most_at_once([(run["began"], run["ended"]) for run in (square, cube)]) == 2
    processes = {(run["host"], run["pid"]) for run in (square, cube)}
    return conclude(
        f"square {square['square']}, cube {cube['cube']}",
        "square and cube overlap in different processes",
        (square["square"], cube["cube"]) == (100, 1000) and overlap and len(processes) == 2,
        tasks=2,
        processes=processes,
    )


if __name__ == "__main__":
    sys.exit(main())
