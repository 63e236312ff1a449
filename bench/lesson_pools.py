"""The worker pools that the lesson compares: a worker with one of them is started, asked for its memory, ended."""

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from workers.local_stack.children import Child
from workers.local_stack.redis_server import StackError

READY_WITHIN = 60.0  # seconds: a loaded machine imports Celery slowly
ENDED_WITHIN = 10.0  # seconds
MB = 1e6


@dataclass(frozen=True)
class Pool:
    """A pool of Celery's, or of ours.

    Args:
        name: what its row is called.
        option: of `celery worker --pool`.
        processes: whether each of those at once is a process.
        cpu: the task that is its CPU-bound piece.
        io: the task that is its I/O-bound piece.
        variables: what its worker needs in its environment.
    """

    name: str
    option: str
    processes: bool = False
    cpu: str = "tasks.mandelbrot.draw_tile"
    io: str = "tasks.io_bound.sleep"
    variables: dict[str, str] = field(default_factory=dict)


ONE = Pool("one thread", "solo")  # what the others are measured against
THREADS = Pool("threads", "threads")
COROUTINES = Pool(
    "coroutines", "custom", cpu="bench.lesson_tasks.draw_tile", io="tasks.coroutines.wait",
    variables={"CELERY_CUSTOM_WORKER_POOL": "workers.coroutines:TaskPool"},
)  # fmt: skip
POOLS = (THREADS, Pool("processes", "prefork", processes=True), COROUTINES)
MANY = (THREADS, COROUTINES)  # for very many at once: as many processes would take more memory than there is
QUEUES = "cpu,io,aio"


@dataclass(frozen=True)
class Memory:
    """What a worker takes, with all its processes."""

    processes: int
    own_mb: float  # each page divided by how many share it (PSS); where that is not known, unshared pages (USS)
    resident_mb: float  # RSS: pages that processes share are counted in each


def memory(child: Child) -> Memory:
    """A worker's memory, now. Raises psutil.NoSuchProcess if a process of it ends meanwhile."""
    first = psutil.Process(child.process.pid)
    infos = [each.memory_full_info() for each in (first, *first.children(recursive=True))]
    own = sum(getattr(info, "pss", None) or info.uss for info in infos)
    return Memory(len(infos), own / MB, sum(info.rss for info in infos) / MB)


@contextlib.contextmanager
def worker(pool: Pool, at_once: int, folder: Path) -> Iterator[Child]:
    """A worker that takes tasks, so many at once; it finds the server by REDIS_URL. Raises StackError if it ends."""
    name = f"{pool.option}-{at_once}"
    alive = folder / f"{name}.alive"
    command = [
        sys.executable, "-m", "celery", "-A", "workers", "worker", "-Q", QUEUES, "-I", "bench.lesson_tasks",
        "-n", f"{name}@%h", "--pool", pool.option, "--concurrency", str(at_once), "--loglevel", "WARNING",
        "--without-gossip", "--without-mingle",
    ]  # fmt: skip
    child = Child(name, command, folder / f"{name}.log", {
        **pool.variables, "INTERLOCK_LIVENESS_FILE": str(alive), "TMPDIR": str(folder),
    })  # fmt: skip
    try:
        until = time.monotonic() + READY_WITHIN
        while not alive.exists():
            if not child.running:
                raise StackError(child.ending())
            if time.monotonic() > until:
                raise StackError(f"{name} did not start within {READY_WITHIN:.0f} seconds: is the machine overloaded?")
            time.sleep(0.02)
        yield child
    finally:
        child.ask_to_stop()
        child.stop(ENDED_WITHIN)
