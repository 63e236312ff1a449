"""What a worker does when it starts, forks and stops.

Forks need nothing here: a child of the prefork pool begins a session of its own with its first primitive, and its
finalizers give back what it holds when it ends in order (interlock/_session.py).
"""

import logging
from typing import Any

from celery import Celery, signals

from workers.liveness import Liveness

FORMAT = "%(asctime)s %(levelname)s %(processName)s %(name)s: %(message)s"


def install(app: Celery) -> None:
    """Add the life cycle to the app: once, when this package is imported."""
    app.steps["worker"].add(Liveness)
    signals.setup_logging.connect(_set_up_logging)


def _set_up_logging(loglevel: int = logging.INFO, logfile: str | None = None, **_: Any) -> None:
    """One format for all, to standard error or to the file that --logfile names."""
    logging.basicConfig(level=loglevel, format=FORMAT, filename=logfile, force=True)
    logging.captureWarnings(True)
