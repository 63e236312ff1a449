"""Faults of a connection, put where a real one would cut a call in two."""

import itertools
from contextlib import contextmanager

import pytest
import redis

from interlock._protocol import scripts


@contextmanager
def unanswered(script, *, done, error=redis.ConnectionError, times=None):
    """Calls of that script get no answer, the first so many of them; `done`: Redis has done what they ask."""
    left = itertools.count() if times is None else iter(range(times))
    real = getattr(scripts, script)

    def call(*arguments, **options):
        if next(left, None) is None:
            return (yield from real(*arguments, **options))
        if done:
            yield from real(*arguments, **options)
        raise error("cut")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scripts, script, call)
        yield
