"""The primes below a hundred million, counted part by part by a chord; its body adds the counts up.

Run:      make up, then in another terminal: python -m examples.primes
You see:  how many each part holds, and which process counted it; the sum is the known value of pi(100,000,000).
"""

import sys

from celery import chord

from examples._verdict import conclude
from tasks import count_primes, sum_counts, watch

LIMIT, PART = 100_000_000, 5_000_000
KNOWN = 5_761_455  # pi(10^8): https://oeis.org/A006880


def main() -> int:
    parts = [count_primes.s(start, start + PART) for start in range(0, LIMIT, PART)]
    count, lines = watch(chord(parts)(sum_counts.s()))
    print(f"Primes below {LIMIT:,}: {count:,}")

    processes = {line.process for line in lines}
    return conclude(
        f"{count:,}",
        "the sum of all parts is the known value, and several processes took part",
        count == KNOWN and len(processes) > 1,
        tasks=len(parts) + 1,
        processes=processes,
    )


if __name__ == "__main__":
    sys.exit(main())
