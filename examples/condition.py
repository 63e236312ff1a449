"""Producers and consumers share a buffer with room for three; an interlock.Condition tells them when it has changed.

Run:      make up, then in another terminal: python -m examples.condition
You see:  two producers and two consumers done, and that the buffer never held more than three items.
Caveat:   a task that is killed and runs again begins anew: examples/shared_array.py shows how to count what is done.
"""

import sys

from celery import group

import interlock
from examples._verdict import conclude
from tasks import consume, produce, watch

BOUND, EACH = 3, 12  # places; items that each task puts or takes


def main() -> int:
    lock = interlock.Lock()
    put, taken = interlock.Value("i", 0, lock=lock), interlock.Value("i", 0, lock=lock)
    buffer = interlock.Condition(lock), interlock.Array("i", BOUND, lock=lock), put, taken
    producers = [produce.s(*buffer, first, EACH) for first in (0, EACH)]
    consumers = [consume.s(*buffer, EACH, pause=0.01) for _ in range(2)]
    (*produced, one, other), _ = watch(group(producers + consumers).delay())

    most = max(run["most"] for run in produced)
    there, here = ({(run["host"], run["pid"]) for run in runs} for runs in (produced, (one, other)))
    once = sorted(one["items"] + other["items"]) == list(range(2 * EACH))
    return conclude(
        f"at most {most} in the buffer, {put.value} put, {taken.value} taken",
        f"never more than {BOUND} in it, and each item is consumed once, in another process",
        most <= BOUND and once and not there & here,
        tasks=4,
        processes=there | here,
    )


if __name__ == "__main__":
    sys.exit(main())
