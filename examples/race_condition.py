"""Two processes add to and subtract from one counter without a lock, and lose updates.

Run:      make up, then in another terminal: python -m examples.race_condition [TIMES]
You see:  a final value that is hardly ever 0, and how many updates were overwritten, at least.
"""

import sys

from celery import group

import interlock
from examples._verdict import conclude, times
from tasks import decrement_unlocked, increment_unlocked, watch


def main() -> int:
    n = times(100_000)
    shared_variable = interlock.Value("i", 0, lock=False)
    runs, _ = watch(group(increment_unlocked.s(shared_variable, n), decrement_unlocked.s(shared_variable, n)).delay())
    final = shared_variable.value
    print(f"Final value of shared_variable: {final}")

    lost = max(abs(final), sum(run["overwrote"] for run in runs))
    return conclude(
        f"{final:,}: at least {lost:,} updates lost",
        "without a lock, updates are lost",
        lost > 0,
        tasks=2,
        processes=[(run["host"], run["pid"]) for run in runs],
        asked=100_000,
        run=n,
    )


if __name__ == "__main__":
    sys.exit(main())
