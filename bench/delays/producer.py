"""Sends so many tasks, due at random moments of a window of so many seconds; prints when the window begins."""

import random
import sys
import time
from datetime import UTC, datetime

from bench.delays import FIRST_DUE
from bench.delays.app import app, note

BATCH = 1000


def main() -> None:
    """Send them in batches: the pace of the producer is not what is measured."""
    count, window, sending = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    chance, begins = random.Random(0), time.time() + sending + FIRST_DUE  # noqa: S311
    with app.producer_pool.acquire(block=True) as producer:
        for first in range(0, count, BATCH):
            with producer.batch():
                for number in range(first, min(first + BATCH, count)):
                    due = begins + chance.uniform(0, window)
                    note.apply_async((number, due), eta=datetime.fromtimestamp(due, UTC), producer=producer)
    print(begins)


if __name__ == "__main__":
    main()
