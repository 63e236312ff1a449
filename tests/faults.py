"""Faults of a connection, put where a real one would cut a call in two."""

from contextlib import contextmanager

import pytest
import redis

from interlock import _scripts


@contextmanager
def unanswered(script, *, done):
    """Calls of that script get no answer; `done`: Redis has done what they ask."""
    real = getattr(_scripts, script)

    def call(*arguments, **options):
        if done:
            real(*arguments, **options)
        raise redis.ConnectionError("cut")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_scripts, script, call)
        yield
