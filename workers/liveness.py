"""Is the worker alive?  By the age of a file that it touches: milliseconds, and no broker needed.

A worker touches the file that INTERLOCK_LIVENESS_FILE names as soon as it takes tasks, every five seconds, from a
thread of its own, and removes it when it stops. A probe must not restart workers because Redis is away, so Redis is
not asked.

The probe, without importing anything of ours:  python workers/liveness.py FILE
"""

import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

VARIABLE = "INTERLOCK_LIVENESS_FILE"
TOUCH_EVERY = 5.0  # seconds
DEAD_AFTER = 20.0  # seconds: a machine under load may be late with three touches


def alive(path: Path, now: float | None = None) -> bool:
    """Whether the file was touched within DEAD_AFTER seconds."""
    try:
        touched = path.stat().st_mtime
    except FileNotFoundError:
        return False
    return (time.time() if now is None else now) - touched < DEAD_AFTER


if __name__ == "__main__":
    sys.exit(0 if len(sys.argv) == 2 and alive(Path(sys.argv[1])) else 1)

from celery import bootsteps, signals  # noqa: E402  the probe above stays quick

log = logging.getLogger(__name__)


class Liveness(bootsteps.StartStopStep):  # type: ignore[misc]
    """Touches the file from the moment when the worker takes tasks until it stops."""

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self.path = Path(os.environ.get(VARIABLE, ""))
        self.enabled = bool(os.environ.get(VARIABLE))
        if self.enabled and not os.access(self.path.parent, os.W_OK):
            sys.exit(f"error: {VARIABLE}: {self.path.parent} cannot be written: name another")
        self.stopped = threading.Event()
        self.thread: threading.Thread | None = None

    def start(self, _: Any) -> None:
        """Begin when the worker is ready."""
        signals.worker_ready.connect(self._begin, weak=False)

    def stop(self, _: Any) -> None:
        """Remove the file: the worker takes no more tasks."""
        self.stopped.set()
        if self.thread is not None:
            self.thread.join()
        self.path.unlink(missing_ok=True)

    terminate = stop

    def _begin(self, **_: Any) -> None:
        self.path.touch()
        self.thread = threading.Thread(target=self._keep_touching, name="liveness", daemon=True)
        self.thread.start()

    def _keep_touching(self) -> None:
        while not self.stopped.wait(TOUCH_EVERY):
            try:
                self.path.touch()
            except OSError as error:  # a full disk, say: the next touch may succeed before the probe minds
                log.warning("could not touch %s: %s", self.path, error)
