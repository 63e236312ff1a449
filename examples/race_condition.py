"""Two processes add to and subtract from one counter without a lock, and lose updates.

Run:      make up, then in another terminal: python -m examples.race_condition [TIMES]
You see:  a final value that is not 0, and another one each time.
Caveat:   the value says how many updates are missing at least; what both lost in equal parts doesn't show.
"""

import sys

from celery import group

import interlock
from examples._verdict import conclude, times
from tasks import decrement_unlocked, increment_unlocked, watch


def main() -> int:
    n = times(100_000)
    shared_variable = interlock.Value("i", 0, lock=False)
    places, _ = watch(group(increment_unlocked.s(shared_variable, n), decrement_unlocked.s(shared_variable, n)).delay())
    final = shared_variable.value
    print(f"Final value of shared_variable: {final}")

    return conclude(
        f"{final:,}: at least {abs(final):,} updates lost",
        "without a lock, updates are lost",
        final != 0,
        tasks=2,
        processes=[(place["host"], place["pid"]) for place in places],
        asked=100_000,
        run=n,
    )


if __name__ == "__main__":
    sys.exit(main())
