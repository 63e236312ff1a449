"""The server that all are measured on, and what they cost it."""

import contextlib
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from workers.local_stack import redis_server

SCRIPTS = ("cmdstat_eval", "cmdstat_evalsha", "cmdstat_fcall")
MARK = "the cycles end here"


class Server:
    """One server on the loopback address."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.client = redis.Redis(port=port, decode_responses=True)

    def version(self) -> str:
        """Which server in which version, and how it writes its log."""
        about: dict[str, Any] = self.client.info("server")
        flavour = "valkey" if "valkey_version" in about else "redis"
        fsync = self.client.config_get("appendfsync")["appendfsync"]
        return f"{flavour} {about[f'{flavour}_version']}, append-only log, fsync {fsync}"

    def spent(self) -> "Spent":
        """What it has used up to now."""
        cpu: dict[str, float] = self.client.info("cpu")
        commands: dict[str, dict[str, int]] = self.client.info("commandstats")
        scripts = sum(commands[name]["usec"] for name in SCRIPTS if name in commands)
        return Spent((cpu["used_cpu_user"] + cpu["used_cpu_sys"]) * 1e6, float(scripts))

    @contextlib.contextmanager
    def watched(self) -> Iterator[Counter[str]]:
        """Counts, at the end of the block, the commands that clients sent within; not those that scripts call."""
        counts: Counter[str] = Counter()
        with redis.Redis(port=self.port, decode_responses=True) as client, client.monitor() as monitor:
            yield counts
            self.client.echo(MARK)
            while MARK not in (each := monitor.next_command())["command"]:
                if each["client_type"] != "lua":
                    counts[each["command"].split(" ", 1)[0].upper()] += 1

    @contextlib.contextmanager
    def published(self, pattern: str) -> Iterator[list[str]]:
        """Has, at the end of the block, the messages that were published meanwhile on channels of that pattern."""
        messages: list[str] = []
        with redis.Redis(port=self.port, decode_responses=True) as client, client.pubsub() as pubsub:
            pubsub.psubscribe(pattern)
            yield messages
            while (message := pubsub.get_message(timeout=0.1)) is not None:
                if message["type"] == "pmessage":
                    messages.append(message["data"])


@dataclass(frozen=True)
class Spent:
    """Microseconds that the server has used: CPU of all its threads; time within scripts."""

    cpu_us: float
    scripts_us: float

    def since(self, before: "Spent", times: int) -> "Spent":
        """What was used since then, divided by so many times."""
        return Spent((self.cpu_us - before.cpu_us) / times, (self.scripts_us - before.scripts_us) / times)


@contextlib.contextmanager
def server() -> Iterator[Server]:
    """A fresh server, as `make up` starts one, on a free port; ended by its process, its data removed."""
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
