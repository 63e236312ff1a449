"""Servers for tests that stop, fill or kill theirs."""

import pytest
from servers import Server


@pytest.fixture
def own_server(tmp_path):
    """One that no other worker serves."""
    (tmp_path / "redis").mkdir()
    own = Server(tmp_path / "redis")
    yield own
    own.child.stop(0)
