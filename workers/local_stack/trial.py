"""A trial of this machine's speed: prints the unlocked updates a second of each of two tasks at once."""

import time

from celery import group

import interlock
from tasks import decrement_unlocked, increment_unlocked

TIMES = 2_000  # updates of each task


def main() -> None:
    """Enqueue both tasks, wait, print the rate."""
    shared = interlock.Value("i", 0, lock=False)
    began = time.monotonic()
    group(increment_unlocked.s(shared, TIMES), decrement_unlocked.s(shared, TIMES)).delay().get(timeout=60)
    print(TIMES / (time.monotonic() - began))


if __name__ == "__main__":
    main()
