"""Sends tasks at a steady rate until it reads a line; prints how many, and which got an error instead of an answer.

`short` tasks take 50 ms at most. Of `mixed` ones, some take longer than the visibility timeout, some wait for a
countdown, some retry.
"""

import random
import sys
import threading
import time

from kombu.exceptions import OperationalError

from bench.kills import RATE, TIMEOUT
from bench.kills.app import task

SHORT = 0.05  # seconds
LONG_ONE_IN, LATE_ONE_IN, RETRIED_ONE_IN = 400, 50, 50


def main() -> None:
    """Send until a line comes on standard input."""
    stop = threading.Event()

    def wait() -> None:
        sys.stdin.readline()
        stop.set()

    threading.Thread(target=wait, daemon=True).start()
    mixed = sys.argv[1] == "mixed"
    rate = RATE / 2 if mixed else RATE
    chance, sent, begun = random.Random(0), 0, time.monotonic()  # noqa: S311
    uncertain: list[int] = []
    while not stop.is_set():
        seconds, retries, options = chance.uniform(0, SHORT), 0, {}
        if mixed and not chance.randrange(LONG_ONE_IN):
            seconds = 1.5 * TIMEOUT
        if mixed and not chance.randrange(LATE_ONE_IN):
            options = {"countdown": chance.uniform(0, 1.5 * TIMEOUT)}
        if mixed and not chance.randrange(RETRIED_ONE_IN):
            retries = 2
        try:
            task.apply_async((sent, seconds, retries), **options)
        except OperationalError:
            uncertain.append(sent)
        sent += 1
        stop.wait(max(0.0, begun + sent / rate - time.monotonic()))
    print(sent, *uncertain)


if __name__ == "__main__":
    main()
