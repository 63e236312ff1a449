"""How long a task waits for another: while it waits, it occupies a slot of its pool, which the other may need."""

import time
from collections.abc import Callable

PATIENCE = 10.0  # seconds: tasks that are enqueued together start sooner, unless their workers have no free slot


def comes_true(condition: Callable[[], bool]) -> bool:
    """Poll a condition until it holds, for PATIENCE seconds at most. Returns whether it holds."""
    until = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def waited_in_vain(what: str, *queues: str) -> TimeoutError:
    """Return the error of a task that waited in vain: one line, for the user who enqueued it."""
    places = " and ".join(f"at queue {queue}" for queue in queues)
    variables = ", ".join(f"INTERLOCK_{queue.upper()}_CONCURRENCY" for queue in queues)
    return TimeoutError(
        f"waited {PATIENCE:g} s {what}. Is there a free place for each task {places}? `python -m workers status` says; "
        f"how many there are: {variables}"
    )
