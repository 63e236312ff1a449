"""Servers that tasks fetch pages from, and a worker of queue `io`."""

import pytest
from pages_server import PagesServer
from queue_workers import queue_worker


@pytest.fixture
def server():
    """A server at the address that tests allow."""
    with PagesServer() as up:
        yield up


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    """A worker of queue `io` with tasks of tests/support."""
    with queue_worker(
        tmp_path_factory.mktemp("worker"), "io", concurrency=8, include="awkward_tasks,calling_tasks"
    ) as up:
        yield up
