"""Outages of Redis: which errors pass, and how a task waits until Redis is back."""

import time
from collections.abc import Callable
from typing import TypeVar

import redis
from celery.exceptions import BackendStoreError
from kombu.exceptions import OperationalError

from interlock._io.refusals import word_of

Answer = TypeVar("Answer")
OUTAGE_MAX = 30.0  # seconds: a server that restarts reads its log in less
ATTEMPT_EVERY = 0.5  # seconds


def refused_for_now(error: BaseException) -> bool:
    """Whether Redis refused for a reason that passes: it is full, loads its data, has no replica, or is busy."""
    return word_of(error) is not None


def heals(error: BaseException) -> bool:
    """Whether the same call may succeed later, because Redis is away, or refuses for a reason that passes."""
    if isinstance(error, redis.AuthenticationError):
        return False
    if isinstance(error, BackendStoreError):
        reason = error.__cause__ or error.__context__
        return reason is not None and heals(reason)
    away = isinstance(error, redis.ConnectionError | redis.TimeoutError | OSError | OperationalError)
    return away or refused_for_now(error)


def patiently(ask: Callable[[], Answer]) -> Answer:
    """Return what Redis answers, and ask again while it is away. If an answer was lost, the call takes effect twice.

    Raises the last error of Redis or redis-py, after OUTAGE_MAX seconds.
    """
    until = time.monotonic() + OUTAGE_MAX
    while True:
        try:
            return ask()
        except redis.RedisError as error:
            if not heals(error) or time.monotonic() > until:
                raise
            time.sleep(ATTEMPT_EVERY)
