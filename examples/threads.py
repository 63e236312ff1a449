"""Numbers and letters, printed at the same time by two threads of an I/O-bound worker.

Run:      make up, then in another terminal: python -m examples.threads
You see:  "Number: 1" to "5" and "Letter: A" to "E", interleaved, as each is printed, and where.
"""

import sys
from itertools import pairwise

from celery.result import ResultSet

from examples._verdict import conclude
from tasks import print_letters, print_numbers, watch


def main() -> int:
    thread1 = print_numbers.delay()
    thread2 = print_letters.delay()
    _, lines = watch(ResultSet([thread1, thread2]))
    print("Both threads have finished.")

    kinds = [line.text.split(":")[0] for line in lines]
    turns = sum(a != b for a, b in pairwise(kinds))
    return conclude(
        f"{turns} changes between numbers and letters",
        "numbers and letters interleave",
        len(lines) == 10 and turns >= 3,
        tasks=2,
        processes=[line.process for line in lines],
    )


if __name__ == "__main__":
    sys.exit(main())
