"""The local stack: Redis, three workers and Flower, as child processes that end together."""

import fcntl
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import redis

from interlock import address
from tasks.celery_app.environment import whole_number
from workers.local_stack import redis_server
from workers.local_stack.children import ROOT, Child
from workers.local_stack.redis_server import StackError
from workers.local_stack.stopping import uninterrupted

SPACE_MIN = 256 * 1024  # bytes: with less, logs are truncated and Redis refuses to write
READY_WITHIN = 60.0  # seconds: a loaded machine imports Celery slowly
GIVEN_BACK_WITHIN = 15.0  # seconds: longer than worker_soft_shutdown_timeout in tasks/celery_app/settings.py


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


class Stack:
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
        self.ports = ports
        self.own_keys = prefix is not None
        self.data = data
        self.tell = tell
        self._reached = False  # Redis has answered
        self._claim: IO[str] | None = None  # the lock on the folder `data`
        self.children: list[Child] = []
        self.folder = Path()
        self.starts_redis = address.variable() is None
        self.redis_url = f"redis://127.0.0.1:{ports.redis}/0" if self.starts_redis else address.url()
        self.variables = {"INTERLOCK_PREFIX": address.prefix() if prefix is None else prefix}
        if self.starts_redis:  # no login for another Redis is for this one
            self.variables |= {**dict.fromkeys(address.VARIABLES, ""), "REDIS_URL": self.redis_url}
        self._cpu = whole_number(os.environ, "INTERLOCK_CPU_CONCURRENCY", 2, 1, 1024)
        self._io = whole_number(os.environ, "INTERLOCK_IO_CONCURRENCY", 16, 1, 1024)
        self._aio = whole_number(os.environ, "INTERLOCK_AIO_CONCURRENCY", 1000, 1, 10_000)

    @property
    def flower_url(self) -> str:
        """The address of Flower."""
        return f"http://127.0.0.1:{self.ports.flower}"

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> None:
        self._make_folders()
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
        self.tell("starting the workers ...")
        workers = [
            self._worker("cpu", "--pool", "prefork", "--concurrency", str(self._cpu)),
            self._worker("io", "--pool", "threads", "--concurrency", str(self._io)),
            self._worker("aio", "--pool", "custom", "--concurrency", str(self._aio)),
        ]
        self._wait(lambda: all(self._alive_file(worker.name).exists() for worker in workers), "the workers")
        self.tell("starting Flower ...")
        self._flower()
        self._wait(self._flower_knows_the_workers, "Flower")

    def _make_folders(self) -> None:
        try:
            with uninterrupted():
                self.folder = Path(tempfile.mkdtemp(prefix="interlock-"))
        except OSError as error:
            reason = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
            raise StackError(
                f"no temporary folder can be made ({reason}): set TMPDIR to one that can be written"
            ) from error
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

    def _alive_file(self, name: str) -> Path:
        return self.folder / f"{name}.alive"

    def _worker(self, name: str, *options: str) -> Child:
        command = [
            sys.executable, "-m", "celery", "-A", "workers", "worker", "-Q", name, "-n", f"{name}@%h",
            "--loglevel", "INFO", "--without-gossip", "--without-mingle", *options,
        ]  # fmt: skip
        variables = {
            **self.variables,
            "CELERY_CUSTOM_WORKER_POOL": "workers.coroutines:TaskPool",
            "INTERLOCK_LIVENESS_FILE": str(self._alive_file(name)),
            "TMPDIR": str(self.folder),  # a killed pool leaves its folder there: it goes with ours
        }
        return self._child(name, command, variables)

    def _child(self, name: str, command: list[str], variables: Mapping[str, str]) -> Child:
        with uninterrupted():
            child = Child(name, command, self.folder / f"{name}.log", variables)
            self.children.append(child)
        return child

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

    def _wait(self, ready: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + READY_WITHIN
        while not ready():
            self.check()
            if time.monotonic() > until:
                raise StackError(f"{what} did not start within {READY_WITHIN:.0f} seconds: is the machine overloaded?")
            time.sleep(0.05)

    def check(self) -> None:
        """Raise StackError if a child has ended, or if the disk is full, which ends children without a message."""
        for variable, folder in {"TMPDIR": self.folder, "INTERLOCK_FOLDER": self.data or self.folder}.items():
            if shutil.disk_usage(folder).free < SPACE_MIN:
                raise StackError(
                    f"no space left on the disk of {folder}: free some, or set {variable} to a folder elsewhere"
                )
        for child in self.children:
            if not child.running:
                raise StackError(child.ending())

    def close(self, patience: float = 5.0) -> None:
        """End the users of Redis at the same time, then Redis, and then remove the files and keys that are left."""
        with uninterrupted():
            self._close(patience)

    def _close(self, patience: float) -> None:
        users = [child for child in self.children if child.name != "redis"]
        started = [child for child in self.children if child.name == "redis"]
        for child in users:
            child.ask_to_stop()
        wait_for(users, patience)
        if not self.own_keys and not started and any(child.running for child in users):
            # Redis outlives us: a pool that can gives the tasks that still run back to their queue
            self.tell("waiting until running tasks are done or given back ...")
            for child in users:
                child.ask_to_stop(signal.SIGQUIT)
            wait_for(users, GIVEN_BACK_WITHIN)
        for child in users:
            child.stop(0)
        if self.own_keys and self._reached and not started:
            self._delete_keys()
        for child in started:
            child.ask_to_stop(signal.SIGTERM)
            child.stop(patience)
        self.children.clear()
        if self._claim is not None:
            self._claim.close()
        if self.folder != Path():
            shutil.rmtree(self.folder, ignore_errors=True)

    def _delete_keys(self) -> None:
        """Delete the keys with this stack's prefix from a Redis that is not its own."""
        prefix = self.variables["INTERLOCK_PREFIX"]
        try:
            with redis.Redis.from_url(self.redis_url) as client:
                for key in client.scan_iter(match=f"{prefix}*", count=1000):
                    client.unlink(key)
        except redis.RedisError as error:
            self.tell(f"keys that begin with {prefix} are left in Redis, which does not answer: {error}")


def wait_for(children: list[Child], patience: float) -> None:
    """Wait until all children have ended, for `patience` seconds at most."""
    until = time.monotonic() + patience
    while any(child.running for child in children) and time.monotonic() < until:
        time.sleep(0.02)
