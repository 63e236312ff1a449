"""Start the server that everything is measured on, and read what it has spent."""

import contextlib
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from workers.local_stack import redis_server

HOST = "127.0.0.1"
LEASE = 30  # seconds, for each lock that has a lease
SCRIPTS = ("cmdstat_eval", "cmdstat_evalsha", "cmdstat_fcall")
MARK = "the cycles end here"


class Server:
    """A server on the loopback address."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.client = redis.Redis(host=HOST, port=port, decode_responses=True)

    def version(self) -> str:
        """Return which server it is, in which version, and how it writes its log."""
        about: dict[str, Any] = self.client.info("server")
        flavour = "valkey" if "valkey_version" in about else "redis"
        fsync = self.client.config_get("appendfsync")["appendfsync"]
        return f"{flavour} {about[f'{flavour}_version']}, append-only log, fsync {fsync}"

    def spent(self) -> "Spent":
        """Return what the server has spent up to now."""
        cpu: dict[str, float] = self.client.info("cpu")
        commands: dict[str, dict[str, int]] = self.client.info("commandstats")
        scripts = sum(commands[name]["usec"] for name in SCRIPTS if name in commands)
        return Spent((cpu["used_cpu_user"] + cpu["used_cpu_sys"]) * 1e6, float(scripts))

    @contextlib.contextmanager
    def watched(self) -> Iterator[Counter[str]]:
        """Yield a counter that has, at the end of the block, each command that clients sent; not those of scripts."""
        counts: Counter[str] = Counter()
        with redis.Redis(host=HOST, port=self.port, decode_responses=True) as client, client.monitor() as monitor:
            yield counts
            self.client.echo(MARK)
            while MARK not in (each := monitor.next_command())["command"]:
                if each["client_type"] != "lua":
                    counts[each["command"].split(" ", 1)[0].upper()] += 1

    @contextlib.contextmanager
    def published(self, pattern: str) -> Iterator[list[str]]:
        """Yield a list that has, at the end of the block, the messages published meanwhile on channels of a pattern."""
        messages: list[str] = []
        with redis.Redis(host=HOST, port=self.port, decode_responses=True) as client, client.pubsub() as pubsub:
            pubsub.psubscribe(pattern)
            yield messages
            while (message := pubsub.get_message(timeout=0.1)) is not None:
                if message["type"] == "pmessage":
                    messages.append(message["data"])


@dataclass(frozen=True)
class Spent:
    """What the server has spent, in microseconds: CPU of all its threads, and time within scripts."""

    cpu_us: float
    scripts_us: float

    def since(self, before: "Spent", times: int) -> "Spent":
        """Return what was spent since then, divided by a number of times."""
        return Spent((self.cpu_us - before.cpu_us) / times, (self.scripts_us - before.scripts_us) / times)


@contextlib.contextmanager
def server() -> Iterator[Server]:
    """Start a fresh server on a free port, as `make up` does; at the end, stop it and remove its data."""
    with tempfile.TemporaryDirectory(prefix="interlock-bench-") as folder:
        port = redis_server.free_port()
        child = redis_server.start(Path(folder), port)
        try:
            started = Server(port)
            yield started
            started.client.close()
        finally:
            child.ask_to_stop()
            child.stop(5)
