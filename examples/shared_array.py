"""Two processes count the last digits of squares in one interlock.Array, each update under the array's own lock.

Run:      make up, then in another terminal: python -m examples.shared_array
You see:  how often each digit is the last of a square, to the last one: 2, 3, 7 and 8 never are.
Exact:    also when a worker is killed and its task runs again (tasks/shared_array.py).
"""

import sys

from celery import group

import interlock
from examples._verdict import conclude
from tasks import count_last_digits, watch

SQUARES = 4_000


def main() -> int:
    histogram = interlock.Array("i", 10)
    half = SQUARES // 2
    counting = [count_last_digits.s(histogram, 0, half), count_last_digits.s(histogram, half, SQUARES)]
    places, _ = watch(group(counting).delay())
    counts = histogram[:]
    print(f"Last digits: {counts}")

    ends = [number * number % 10 for number in range(SQUARES)]
    return conclude(
        f"{sum(counts):,} of {SQUARES:,} counted",
        "under the array's own lock, no update of an element is lost",
        counts == [ends.count(digit) for digit in range(10)],
        tasks=2,
        processes=[(place["host"], place["pid"]) for place in places],
    )


if __name__ == "__main__":
    sys.exit(main())
