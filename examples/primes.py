"""Worker processes count the primes below a hundred million, part by part; the chord's body adds the counts up.

Run:      make up, then in another terminal: python -m examples.primes
You see:  how many primes each part holds, and the process that counted it; the sum is the known 5,761,455.
"""

from celery import chord

from examples._claims import primes_are_all_counted
from examples._runner import conclude
from tasks import count_primes, sum_counts, watch

LIMIT, PART = 100_000_000, 5_000_000

if __name__ == "__main__":
    parts = [count_primes.s(start, start + PART) for start in range(0, LIMIT, PART)]

    count, lines = watch(chord(parts)(sum_counts.s()))
    print(f"Primes below {LIMIT:,}: {count:,}")
    conclude(primes_are_all_counted(count, len(parts), lines))
