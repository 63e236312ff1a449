"""Servers that tasks fetch pages from."""

import pytest
from pages_server import PagesServer


@pytest.fixture
def server():
    """A server at the address that tests allow."""
    with PagesServer() as up:
        yield up
