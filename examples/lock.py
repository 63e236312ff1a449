"""Two processes add to and subtract from one counter, each update under an interlock.Lock: none is lost.

Run:      make up, then in another terminal: python -m examples.lock [TIMES]
You see:  a final value of exactly 0.
Exact:    also when a worker is killed and its task runs again, or runs twice at once: each section looks at how many
          updates its task has made, in a second value, stored with the first or not at all (tasks/counting.py).
"""

import sys

from celery import group

import interlock
from examples._verdict import conclude, times
from tasks import decrement_with_lock, increment_with_lock, watch


def main() -> int:
    n = times(1_000_000)
    lock = interlock.Lock()
    shared_variable = interlock.Value("i", 0, lock=lock)
    places, _ = watch(
        group(increment_with_lock.s(shared_variable, lock, n), decrement_with_lock.s(shared_variable, lock, n)).delay()
    )
    final = shared_variable.value
    print(f"Final value of shared_variable: {final}")

    return conclude(
        f"{final}",
        "under the lock, no update is lost",
        final == 0,
        tasks=2,
        processes=[(place["host"], place["pid"]) for place in places],
        asked=1_000_000,
        run=n,
    )


if __name__ == "__main__":
    sys.exit(main())
