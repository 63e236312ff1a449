"""The local stack: Redis, three workers and Flower, as child processes that end together."""

import fcntl
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import redis

from interlock import address
from tasks.celery_app.environment import whole_number
from workers.local_stack import redis_server
from workers.local_stack.children import ROOT
from workers.local_stack.redis_server import StackError
from workers.local_stack.stopping import uninterrupted
from workers.local_stack.worker_processes import Workers

FIXED_PORTS = {"redis": ("INTERLOCK_REDIS_PORT", 6390), "flower": ("INTERLOCK_FLOWER_PORT", 5555)}  # of `make up`


@dataclass(frozen=True)
class Ports:
    """The ports of the stack, on the loopback address."""

    redis: int
    flower: int


def flower_port(variables: Mapping[str, str] = os.environ) -> int:
    """Return the port of Flower for `make up` and compose. Raises ValueError for a wrong variable."""
    return whole_number(variables, *FIXED_PORTS["flower"], 1024, 65_535)


def fixed_ports(variables: Mapping[str, str] = os.environ) -> Ports:
    """Return the ports of `make up`. Raises ValueError for a wrong variable, StackError for a port in use."""
    ports = {}
    for what, (variable, default) in FIXED_PORTS.items():
        port = ports[what] = whole_number(variables, variable, default, 1024, 65_535)
        if redis_server.port_taken(port) and not (what == "redis" and address.variable()):
            raise StackError(f"port {port} for {what} is taken: free it, or set {variable} to another")
    return Ports(**ports)


def free_ports() -> Ports:
    """Return ports that no process uses now."""
    return Ports(redis_server.free_port(), redis_server.free_port())


class Stack(Workers):
    """Redis (unless REDIS_URL or REDIS_URL_FILE names one), a worker for each queue, and Flower.

    Use a stack in a `with`: inside, it is up. Afterwards it leaves no process, no file and, with a `prefix`, no key.
    But the folder `data`, if given, keeps what Redis and Flower know. Other programs need `variables` in their
    environment to find the stack.
    """

    def __init__(
        self,
        ports: Ports,
        *,
        prefix: str | None = None,
        data: Path | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.starts_redis = address.variable() is None
        self.redis_url = f"redis://127.0.0.1:{ports.redis}/0" if self.starts_redis else address.url()
        variables = {"INTERLOCK_PREFIX": address.prefix() if prefix is None else prefix}
        if self.starts_redis:  # no login for another Redis is for this one
            variables |= {**dict.fromkeys(address.VARIABLES, ""), "REDIS_URL": self.redis_url}
        super().__init__(variables, tell=tell)
        self.ports = ports
        self.own_keys = prefix is not None
        self.data = data
        self._reached = False  # Redis has answered
        self._claim: IO[str] | None = None  # the lock on the folder `data`

    @property
    def flower_url(self) -> str:
        """The address of Flower."""
        return f"http://127.0.0.1:{self.ports.flower}"

    def _start(self) -> None:
        self._make_folder()
        self._claim_data()
        self.check()
        if self.starts_redis:
            self.tell("starting Redis ...")
            with uninterrupted():
                server = redis_server.launched(self._kept("redis"), self.ports.redis)
                self.children.append(server)
            redis_server.wait_until_ready(server, self.ports.redis, self.tell)
        else:
            redis_server.wait_until_loaded(self.redis_url, self.check)
        redis_server.check(self.redis_url, f"start it, or unset {address.variable()}")
        self._reached = True
        self._start_workers()
        self.tell("starting Flower ...")
        self._flower()
        self._wait(self._flower_knows_the_workers, "Flower")

    def _claim_data(self) -> None:
        if self.data is None:
            return
        try:
            self.data.mkdir(parents=True, exist_ok=True)
            self._claim = (self.data / "lock").open("w")
            fcntl.flock(self._claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StackError(f"another stack uses {self.data}: stop it, or set INTERLOCK_FOLDER to another") from error
        except OSError as error:
            raise StackError(f"INTERLOCK_FOLDER cannot be used: {error.strerror}: {error.filename}") from error

    def _kept(self, name: str) -> Path:
        """Return a folder in `data`, or a temporary one if the stack keeps nothing."""
        folder = (self.data or self.folder) / name
        folder.mkdir(exist_ok=True)
        return folder

    def _flower(self) -> None:
        command = [
            sys.executable, "-m", "celery", "-A", "workers", "flower", "--address=127.0.0.1",
            f"--port={self.ports.flower}", f"--conf={ROOT / 'deploy' / 'flowerconfig.py'}",
            f"--db={self._kept('flower') / 'flower'}",
        ]  # fmt: skip
        self._child("flower", command, self.variables)

    def _flower_knows_the_workers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.flower_url}/workers?json=1", timeout=2) as answer:  # noqa: S310
                workers = json.load(answer)["data"]
        except (urllib.error.URLError, OSError):
            return False
        known = {each["hostname"].partition("@")[0] for each in workers if each["status"] and "pool" in each}
        return known >= {"cpu", "io", "aio"}

    def _folders(self) -> dict[str, Path]:
        return {**super()._folders(), "INTERLOCK_FOLDER": self.data or self.folder}

    def _close(self, patience: float) -> None:
        """End the users of Redis, then Redis, and then remove the files and keys that are left."""
        users = [child for child in self.children if child.name != "redis"]
        started = [child for child in self.children if child.name == "redis"]
        self._end(users, patience, give_back=not self.own_keys and not started)
        if self.own_keys and self._reached and not started:
            self._delete_keys()
        for child in started:
            child.ask_to_stop()
            child.stop(patience)
        if self._claim is not None:
            self._claim.close()
        self._forget()

    def _delete_keys(self) -> None:
        """Delete the keys with this stack's prefix from a Redis that is not its own."""
        prefix = self.variables["INTERLOCK_PREFIX"]
        try:
            with redis.Redis.from_url(self.redis_url) as client:
                for key in client.scan_iter(match=f"{prefix}*", count=1000):
                    client.unlink(key)
        except redis.RedisError as error:
            self.tell(f"keys that begin with {prefix} are left in Redis, which does not answer: {error}")
