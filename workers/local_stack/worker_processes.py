"""The workers of this machine: one for each queue, as child processes that end together."""

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tasks.celery_app.environment import whole_number
from tasks.celery_app.settings import AIO, CPU, IO
from workers.local_stack.children import Child
from workers.local_stack.redis_server import StackError
from workers.local_stack.stopping import uninterrupted

SPACE_MIN = 256 * 1024  # bytes: with less, logs are truncated and Redis refuses to write
READY_WITHIN = 60.0  # seconds: a loaded machine imports Celery slowly
GIVEN_BACK_WITHIN = 15.0  # seconds: longer than worker_soft_shutdown_timeout in tasks/celery_app/settings.py


@dataclass(frozen=True)
class Pool:
    """The pool that a queue's worker has: its name for `--pool`, and how many tasks it runs at once."""

    name: str
    unit: str  # what runs one task
    variable: str
    default: int
    most: int

    def concurrency(self, variables: Mapping[str, str] = os.environ) -> int:
        """Return how many tasks the worker runs at once. Raises ValueError for a wrong variable."""
        return whole_number(variables, self.variable, self.default, 1, self.most)


QUEUE_POOLS = {
    CPU: Pool("prefork", "processes", "INTERLOCK_CPU_CONCURRENCY", 2, 1024),
    IO: Pool("threads", "threads", "INTERLOCK_IO_CONCURRENCY", 16, 1024),
    AIO: Pool("custom", "coroutines", "INTERLOCK_AIO_CONCURRENCY", 1000, 10_000),
}
"""By the name of the queue."""


class Workers:
    """A worker for each of some queues, with a Redis that others run.

    Use it in a `with`: inside, the workers take tasks. Afterwards it leaves no process and no file. What runs then ends
    within some seconds, or goes back to its queue.

    Args:
        variables: what the workers get beside this process's environment, which says where Redis is.
        queues: the queues, of `cpu`, `io` and `aio`.
        machine: this machine's part of the workers' names, as Celery's `-n` takes it: `%h` is the hostname.
        tell: called with a line for each step.

    Raises:
        ValueError: a variable that says how many tasks run at once is wrong.
    """

    def __init__(
        self,
        variables: Mapping[str, str],
        *,
        queues: Sequence[str] = tuple(QUEUE_POOLS),
        machine: str = "%h",
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.variables = variables
        self.machine = machine
        self.tell = tell
        self.concurrency = {queue: QUEUE_POOLS[queue].concurrency() for queue in queues}
        self.children: list[Child] = []
        self.folder = Path()

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
        self._make_folder()
        self.check()
        self._start_workers()

    def _make_folder(self) -> None:
        try:
            with uninterrupted():
                self.folder = Path(tempfile.mkdtemp(prefix="interlock-"))
        except OSError as error:
            reason = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
            raise StackError(
                f"no temporary folder can be made ({reason}): set TMPDIR to one that can be written"
            ) from error

    def _start_workers(self) -> None:
        self.tell("starting the workers ...")
        workers = [self._worker(queue, n) for queue, n in self.concurrency.items()]
        self._wait(lambda: all(self._alive_file(worker.name).exists() for worker in workers), "the workers")

    def _alive_file(self, name: str) -> Path:
        return self.folder / f"{name}.alive"

    def _worker(self, queue: str, concurrency: int) -> Child:
        command = [
            sys.executable, "-m", "celery", "-A", "workers", "worker", "-Q", queue, "-n", f"{queue}@{self.machine}",
            "--loglevel", "INFO", "--without-gossip", "--without-mingle",
            "--pool", QUEUE_POOLS[queue].name, "--concurrency", str(concurrency),
        ]  # fmt: skip
        variables = {
            **self.variables,
            "CELERY_CUSTOM_WORKER_POOL": "workers.coroutines:TaskPool",
            "INTERLOCK_LIVENESS_FILE": str(self._alive_file(queue)),
            "TMPDIR": str(self.folder),  # a killed pool leaves its folder there: it goes with ours
        }
        return self._child(queue, command, variables)

    def _child(self, name: str, command: list[str], variables: Mapping[str, str]) -> Child:
        with uninterrupted():
            child = Child(name, command, self.folder / f"{name}.log", variables)
            self.children.append(child)
        return child

    def _wait(self, ready: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + READY_WITHIN
        while not ready():
            self.check()
            if time.monotonic() > until:
                raise StackError(f"{what} did not start within {READY_WITHIN:.0f} seconds: is the machine overloaded?")
            time.sleep(0.05)

    def check(self) -> None:
        """Raise StackError if a child has ended, or if the disk is full, which ends children without a message."""
        for variable, folder in self._folders().items():
            if shutil.disk_usage(folder).free < SPACE_MIN:
                raise StackError(
                    f"no space left on the disk of {folder}: free some, or set {variable} to a folder elsewhere"
                )
        for child in self.children:
            if not child.running:
                raise StackError(child.ending())

    def _folders(self) -> dict[str, Path]:
        """Return the folders in use, each with the variable that names another."""
        return {"TMPDIR": self.folder}

    def close(self, patience: float = 5.0) -> None:
        """End the children, then remove the files.

        Args:
            patience: seconds in which tasks that run may end, before they are given back or killed.
        """
        with uninterrupted():
            self._close(patience)

    def _close(self, patience: float) -> None:
        self._end(self.children, patience, give_back=True)
        self._forget()

    def _end(self, children: Sequence[Child], patience: float, *, give_back: bool) -> None:
        """End users of Redis at the same time; where Redis outlives us, let pools give running tasks back."""
        for child in children:
            child.ask_to_stop()
        wait_for(children, patience)
        if give_back and any(child.running for child in children):
            self.tell("waiting until running tasks are done or given back ...")
            for child in children:
                child.ask_to_stop(signal.SIGQUIT)
            wait_for(children, GIVEN_BACK_WITHIN)
        for child in children:
            child.stop(0)

    def _forget(self) -> None:
        self.children.clear()
        if self.folder != Path():
            shutil.rmtree(self.folder, ignore_errors=True)


def wait_for(children: Sequence[Child], patience: float) -> None:
    """Wait until all children have ended, for `patience` seconds at most."""
    until = time.monotonic() + patience
    while any(child.running for child in children) and time.monotonic() < until:
        time.sleep(0.02)
