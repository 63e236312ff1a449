"""The workers that are compared: for each, its environment, how it starts, and where it keeps results."""

import sys
from dataclasses import dataclass, field
from pathlib import Path

from bench.harness import environment

APPS = Path(__file__).parent / "apps"
STOCK = ("-m", "celery", "-A", "celery_app")
OURS = ("-m", "celery", "-A", "workers")
OPTIONS = ("--loglevel", "WARNING", "--without-gossip", "--without-mingle")
THREADS, PREFORK, COROUTINES = "threads", "prefork", "coroutines"


@dataclass(frozen=True)
class System:
    """A worker that is measured.

    Args:
        name: the name of its row.
        app: the module in `folder` that has its task.
        worker: what follows `python` to start it; `{at_once}` stands for the number of tasks at once.
        results: a pattern that the keys of its results match, and no others.
        pool: what runs its tasks.
        environment: the name of its virtual environment; None: the project's.
        beside: the name of the row that its ratio is taken to; None: others' are taken to it.
        variables: further environment variables.
        folder: the folder of its app, which may use the modules of APPS.
    """

    name: str
    app: str
    worker: tuple[str, ...]
    results: str
    pool: str = THREADS
    environment: str | None = None
    beside: str | None = None
    variables: dict[str, str] = field(default_factory=dict)
    folder: Path = APPS

    def python(self) -> str:
        """Return the interpreter of its environment, which is made if it is not there yet.

        Raises:
            InstallError: the environment cannot be made.
        """
        return str(environment.ensure(self.environment) / "python") if self.environment else sys.executable

    def command(self, at_once: int) -> list[str]:
        """Return the command that starts its worker. Raises InstallError, as `python` does."""
        return [self.python(), *(word.format(at_once=at_once) for word in self.worker)]


def _celery(name: str, pool: str, beside: str | None = None, **variables: str) -> System:
    command = (*STOCK, "worker", "--pool", pool, "--concurrency", "{at_once}", *OPTIONS)
    return System(name, "celery_app", command, "celery-task-meta-*", pool, "celery", beside, variables)


def _interlock(pool: str, option: str, app: str, queue: str, beside: str) -> System:
    included = ("--queues", queue, "--include", app)
    command = (*OURS, "worker", "--pool", option, "--concurrency", "{at_once}", *included, *OPTIONS)
    variables = {"CELERY_CUSTOM_WORKER_POOL": "workers.coroutines:TaskPool"} if option == "custom" else {}
    return System(f"Interlock, {pool}", app, command, "celery-task-meta-*", pool, None, beside, variables)


CELERY_THREADS = _celery("Celery, threads", THREADS)
CELERY_PREFORK = _celery("Celery, prefork", PREFORK)
CELERY_DEFAULTS = _celery(
    "Celery, threads, its default settings", THREADS, CELERY_THREADS.name, BENCH_SETTINGS="defaults"
)
OUR_THREADS = _interlock(THREADS, "threads", "interlock_app", "io", CELERY_THREADS.name)
OUR_COROUTINES = _interlock(COROUTINES, "custom", "interlock_async", "aio", CELERY_THREADS.name)
OUR_PREFORK = _interlock(PREFORK, "prefork", "interlock_app", "io", CELERY_PREFORK.name)
DRAMATIQ = System(
    "dramatiq, threads", "dramatiq_app",
    ("-m", "dramatiq", "dramatiq_app", "--processes", "1", "--threads", "{at_once}"),
    "dramatiq-results:*", THREADS, "dramatiq", CELERY_THREADS.name,
)  # fmt: skip
TASKIQ = System(
    "taskiq, coroutines", "taskiq_app",
    ("-m", "taskiq", "worker", "taskiq_app:broker", "--workers", "1", "--max-async-tasks", "{at_once}",
     "--log-level", "WARNING"),
    "taskiq-results:*", COROUTINES, "taskiq", CELERY_THREADS.name,
)  # fmt: skip

PROJECT = (OUR_THREADS, OUR_PREFORK, OUR_COROUTINES)
NO_OPS = (
    CELERY_THREADS, OUR_THREADS, OUR_COROUTINES, DRAMATIQ, TASKIQ, CELERY_DEFAULTS, CELERY_PREFORK, OUR_PREFORK,
)  # fmt: skip
WAITS = (CELERY_THREADS, OUR_THREADS, OUR_COROUTINES, DRAMATIQ, TASKIQ)
PRODUCERS = (CELERY_THREADS, OUR_THREADS, DRAMATIQ, TASKIQ)  # one row for each package: the pool changes nothing there
