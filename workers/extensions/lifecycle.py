"""What a worker does when it starts, forks and stops.

A fork needs nothing here: a child of the prefork pool begins a session of its own with its first primitive. The child's
end needs a handler: the child leaves by `os._exit`, so it gives back what it holds when Celery sends its signal.
"""

import logging
from typing import Any

from celery import Celery, concurrency, signals

import interlock
from workers.extensions.batching import BatchedEvents
from workers.extensions.liveness_file import Liveness
from workers.extensions.renewal import Renewal
from workers.extensions.versions import Versions

FORMAT = "%(asctime)s %(levelname)s %(processName)s %(name)s: %(message)s"


POOLS = {
    "threads": "workers.extensions.thread:TaskPool",
    "prefork": "workers.extensions.prefork:TaskPool",
    "processes": "workers.extensions.prefork:TaskPool",
}
"""The pools that `--pool` names: ours, where Celery's loses tasks."""


def install(app: Celery) -> None:
    """Add the life cycle to the app. `workers.celery` calls this once."""
    concurrency.ALIASES.update(POOLS)
    app.conf.worker_consumer = "workers.extensions.consumer:Consumer"
    app.events.dispatcher_cls = "workers.extensions.events:Dispatcher"
    app.steps["worker"].update((Liveness, Versions))
    app.steps["consumer"].update((BatchedEvents, Renewal))
    signals.setup_logging.connect(_set_up_logging)
    signals.worker_process_shutdown.connect(_give_back)


def _give_back(**_: Any) -> None:
    interlock.close()


def _set_up_logging(loglevel: int = logging.INFO, logfile: str | None = None, **_: Any) -> None:
    """Log in one format, to standard error or to the file that --logfile names."""
    logging.basicConfig(level=loglevel, format=FORMAT, filename=logfile, force=True)
    logging.captureWarnings(True)
