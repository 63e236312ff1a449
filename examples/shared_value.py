"""Two processes change an interlock.Value that they were given as an argument, each update under the value's own lock.

Run:      make up, then in another terminal: python -m examples.shared_value [TIMES]
You see:  a final value of exactly 0.
Exact:    also when a worker is killed and its task runs again, or runs twice at once: each section looks at how many
          updates its task has made, in a second value, stored with the first or not at all (tasks/counting.py).
"""

import sys

from celery import group

import interlock
from examples._verdict import conclude, times
from tasks import decrement_value, increment_value, watch


def main() -> int:
    n = times(100_000)
    shared_variable = interlock.Value("i", 0)
    places, _ = watch(group(increment_value.s(shared_variable, n), decrement_value.s(shared_variable, n)).delay())
    final = shared_variable.value
    print(f"Final value of shared_variable: {final}")

    return conclude(
        f"{final}",
        "under the value's own lock, no update is lost",
        final == 0,
        tasks=2,
        processes=[(place["host"], place["pid"]) for place in places],
        asked=100_000,
        run=n,
    )


if __name__ == "__main__":
    sys.exit(main())
