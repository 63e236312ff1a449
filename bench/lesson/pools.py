"""Start a worker on each of the pools that the lesson compares, read the memory that it takes, and end it."""

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
    """A worker pool, Celery's or ours.

    Args:
        name: the name of its row.
        option: the value of `celery worker --pool`.
        processes: whether it runs each task in a process of its own.
        cpu: the CPU-bound task.
        io: the I/O-bound task.
        variables: the environment variables that its worker needs.
    """

    name: str
    option: str
    processes: bool = False
    cpu: str = "tasks.mandelbrot.draw_tile"
    io: str = "tasks.io_bound.sleep"
    variables: dict[str, str] = field(default_factory=dict)


ONE = Pool("one thread", "solo")  # the others are measured against it
THREADS = Pool("threads", "threads")
COROUTINES = Pool(
    "coroutines", "custom", cpu="bench.lesson.async_tasks.draw_tile", io="tasks.coroutines.wait",
    variables={"CELERY_CUSTOM_WORKER_POOL": "workers.coroutines:TaskPool"},
)  # fmt: skip
POOLS = (THREADS, Pool("processes", "prefork", processes=True), COROUTINES)
MANY = (THREADS, COROUTINES)  # for very many tasks at once; so many processes would need more memory than there is
QUEUES = "cpu,io,aio"


@dataclass(frozen=True)
class Memory:
    """The memory that a worker takes with all its processes."""

    processes: int
    own_mb: float  # each page divided by how many share it (PSS); where the system does not say, unshared pages (USS)
    resident_mb: float  # RSS: a page that processes share counts in each of them


def memory(child: Child) -> Memory:
    """Return the memory that a worker takes now.

    Raises:
        psutil.NoSuchProcess: one of its processes ended meanwhile.
    """
    first = psutil.Process(child.process.pid)
    infos = [each.memory_full_info() for each in (first, *first.children(recursive=True))]
    own = sum(getattr(info, "pss", None) or info.uss for info in infos)
    return Memory(len(infos), own / MB, sum(info.rss for info in infos) / MB)


@contextlib.contextmanager
def worker(pool: Pool, at_once: int, folder: Path) -> Iterator[Child]:
    """Run a worker, which finds the server by REDIS_URL; yield it when it takes tasks.

    Raises:
        StackError: it ended, or did not start in time.
    """
    name = f"{pool.option}-{at_once}"
    alive = folder / f"{name}.alive"
    command = [
        sys.executable, "-m", "celery", "-A", "workers", "worker", "-Q", QUEUES, "-I", "bench.lesson.async_tasks",
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
