"""How tests end a worker that they have started."""

import os
import signal
from contextlib import contextmanager


@contextmanager
def killed_at_the_end(process):
    """A worker in a process group of its own: whatever is left of it is killed."""
    try:
        yield
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
