"""How long a task waits for another: it has a place in a pool meanwhile, which the other may need."""

import time
from collections.abc import Callable

PATIENCE = 10.0  # seconds: tasks that are enqueued together start within less, unless their workers have no place


def comes_true(condition: Callable[[], bool]) -> bool:
    """Poll a condition until it holds, for PATIENCE at most; whether it does."""
    until = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def waited_in_vain(what: str, *queues: str) -> TimeoutError:
    """What is raised when nobody came: one line, for the user who enqueued it."""
    places = " and ".join(f"at queue {queue}" for queue in queues)
    variables = ", ".join(f"INTERLOCK_{queue.upper()}_CONCURRENCY" for queue in queues)
    return TimeoutError(
        f"waited {PATIENCE:g} s {what}. Is there a free place for each task {places}? `python -m workers status` says; "
        f"how many there are: {variables}"
    )
