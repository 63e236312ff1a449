"""Tasks wait through an outage of Redis, as whoever waits for their results does."""

import time
from collections.abc import Callable
from typing import TypeVar

import redis

Answer = TypeVar("Answer")
OUTAGE_MAX = 30.0  # seconds: a server that is started again reads its log in less
ATTEMPT_EVERY = 0.5  # seconds


def patiently(ask: Callable[[], Answer]) -> Answer:
    """What Redis answers, asked again while it is away. What is asked may be done twice, if its answer was lost.

    Raises redis.ConnectionError or redis.TimeoutError after OUTAGE_MAX seconds.
    """
    until = time.monotonic() + OUTAGE_MAX
    while True:
        try:
            return ask()
        except (redis.ConnectionError, redis.TimeoutError):
            if time.monotonic() > until:
                raise
            time.sleep(ATTEMPT_EVERY)
