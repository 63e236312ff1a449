"""The file that a worker touches while it is healthy, for the probe `python workers/liveness.py FILE`.

As soon as a worker takes tasks and hears commands, a thread of it touches the file that INTERLOCK_LIVENESS_FILE names,
every five seconds. The thread removes the file while the worker is not healthy, and the worker when it stops.
"""

import logging
import os
import sys
import threading
from pathlib import Path
from typing import Any

from celery import bootsteps, signals

from tasks.celery_app import environment
from workers.extensions.health import Health

log = logging.getLogger(__name__)

VARIABLE = "INTERLOCK_LIVENESS_FILE"
TOUCH_EVERY = 5.0  # seconds: the probe waits for 20


class Liveness(bootsteps.StartStopStep):  # type: ignore[misc]
    """Touches the file from the moment when the worker takes tasks until the worker stops, while it is healthy."""

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self.path = Path(os.environ.get(VARIABLE, ""))
        self.enabled = bool(os.environ.get(VARIABLE))
        if self.enabled and not os.access(self.path.parent, os.W_OK):
            sys.exit(f"error: {VARIABLE}: {self.path.parent} cannot be written: name another")
        self.health = Health(parent, environment.read().outage_seconds_max)
        self.trouble: str | None = None
        self.stopped = threading.Event()
        self.thread: threading.Thread | None = None

    def start(self, _: Any) -> None:
        """Touch the file from the moment when the worker is ready."""
        signals.worker_ready.connect(self._ready, weak=False)

    def stop(self, _: Any) -> None:
        """Remove the file: the worker takes no more tasks."""
        self.stopped.set()
        if self.thread is not None:
            self.thread.join()
        self.path.unlink(missing_ok=True)

    terminate = stop

    def _ready(self, sender: Any, **_: Any) -> None:
        """Begin when the worker's loop has turned once: only then has it subscribed to commands."""
        if sender.hub is None:  # a pool without a loop
            self._begin()
        else:
            sender.hub.call_soon(sender.hub.call_soon, self._begin)

    def _begin(self) -> None:
        self.path.touch()
        self.thread = threading.Thread(target=self._keep_touching, name="liveness", daemon=True)
        self.thread.start()

    def _keep_touching(self) -> None:
        while not self.stopped.wait(TOUCH_EVERY):
            before, self.trouble = self.trouble, self.health.trouble()
            if self.trouble and not before:
                log.error("this worker is not healthy: %s", self.trouble)
            elif before and not self.trouble:
                log.warning("this worker is healthy again")
            try:
                if self.trouble:
                    self.path.unlink(missing_ok=True)
                else:
                    self.path.touch()
            except OSError as error:  # a full disk, say: the next touch may succeed in time for the probe
                log.warning("could not touch %s: %s", self.path, error)
