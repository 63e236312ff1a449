"""Fixtures of the tests of the primitives."""

from contextlib import suppress

import pytest

import interlock
from interlock._session import session


@pytest.fixture
def own():
    """This process's session with the test server."""
    return session(None)


@pytest.fixture
def nothing_lost_is_left_to_be_told():
    """For tests of locks that linger: no later test hears of what this one lost."""
    yield
    for _ in range(5):
        with suppress(interlock.InterlockError):
            interlock.flush()
            return
