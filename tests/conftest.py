"""The server that all tests use, and the check that none leaves a key behind."""

import os
import shutil
import signal
import tempfile
from pathlib import Path

import mariadb_server
import pytest
import redis
from servers import VARIABLE, server_binary
from sweeps import end_sweeps

import interlock
from interlock import address
from workers.local_stack import redis_server

pytest_plugins = ["pytester"]  # runs pytest in a test
SERVER = {}
FOLDER = "INTERLOCK_TEST_FOLDER"  # where tests run side by side: in here, each of the processes has a folder of its own
collect_ignore = (
    [] if os.environ.get("INTERLOCK_TEST_ENGINE") else ["deploy"]
)  # these run on an engine: make test-compose


def pytest_addoption(parser):
    parser.addoption("--screenshots", help="the folder where the pictures of the README are kept", type=Path)


def pytest_configure(config):
    """Start the server before any test module is imported: settings are read at import.

    Where tests run side by side (`pytest -n`), each process that runs some of them has a server of its own.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that runs us in the background has it ignored
    folder = Path(tempfile.mkdtemp(prefix="interlock-tests-", dir=os.environ.get(FOLDER)))
    if getattr(config.option, "dist", "no") != "no":  # this process only hands the tests out
        SERVER.update(folder=folder)
        os.environ[FOLDER] = str(folder)
        return
    port, path = redis_server.free_port(), Path(server_binary())
    if VARIABLE in os.environ:  # local stacks find it first, too
        (folder / "bin").mkdir()
        (folder / "bin" / path.name).symlink_to(path.resolve())
        os.environ["PATH"] = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    SERVER.update(child=redis_server.start(folder, port, str(path)), folder=folder, port=port)
    for variable in (*address.VARIABLES, "INTERLOCK_PREFIX"):
        os.environ.pop(variable, None)
    os.environ["REDIS_URL"] = f"redis://127.0.0.1:{port}/0"


def pytest_unconfigure(config):
    if "child" in SERVER:
        interlock.close()  # what tests of threads left held
        SERVER["child"].ask_to_stop()
        SERVER["child"].stop(5)
    if SERVER:  # with the folders of the processes that were interrupted
        shutil.rmtree(SERVER["folder"], ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """What may be skipped on a laptop fails in CI."""
    report = yield
    if report.skipped and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and CI skips nothing: {call.excinfo.value}"
    return report


@pytest.fixture
def client():
    """A plain client, for what tests look at and count with."""
    with redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True) as plain:
        yield plain


@pytest.fixture(autouse=True)
def no_key_left(request):
    """Every key of ours that a test leaves expires: what holds state was unlinked."""
    yield
    with redis.Redis(port=SERVER["port"], decode_responses=True) as plain:
        left = {key: plain.pttl(key) for key in plain.scan_iter("interlock:*")}
        plain.flushdb()
    kept = [key for key, ms in left.items() if ms == -1]
    assert not kept, f"left for ever: {kept}"
    assert all(ms <= 86_400_000 for ms in left.values())


@pytest.fixture(autouse=True)
def no_sweep_left():
    """Whatever a test consumed in this process, later tests' workers are swept for by workers alone."""
    yield
    end_sweeps()


@pytest.fixture(scope="session")
def stack():
    """The local stack, with a server of its own: three workers and Flower. `stack.env` finds it."""
    from workers.local_stack.stack import Stack, free_ports  # not above: it loads the settings, and those REDIS_URL

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("REDIS_URL")
        up = Stack(free_ports())
    up.env = {**os.environ, **up.variables}
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("REDIS_URL")
        patch.setenv("INTERLOCK_FETCH_NETWORKS", "127.0.0.1")  # where tests have their pages
        up.__enter__()
    try:
        yield up
    finally:
        up.close()


@pytest.fixture(scope="session")
def mariadb():
    """The address of a real MariaDB on the loopback address, with a database of its own."""
    with mariadb_server.running() as url:
        yield url
