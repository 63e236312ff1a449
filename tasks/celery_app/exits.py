"""Exceptions that would end a process: a task that raises one fails, on every pool alike.

`sys.exit()` in a task ends the task. Celery's pools differ here: a process of the prefork pool ends, and the task runs
four times; the pool of threads never settles the task.
"""

import asyncio

from billiard.common import terminate_handler_fired
from celery.exceptions import WorkerShutdown, WorkerTerminate
from kombu.utils.encoding import safe_repr

from interlock import WaitEndedError

CLEANUPS_MAX = 20  # nested blocks that each raise an exception while they clean up

meant: set[type[BaseException]] = {WorkerShutdown, WorkerTerminate}
"""Exceptions that end a worker, or a task from outside, and so must pass. A pool adds those that it raises itself."""


def contained(error: BaseException) -> Exception | None:
    """Return the error that a task fails with instead of one that would end more than the task; None: let it pass."""
    if isinstance(error, MemoryError):  # Celery would end the worker, for example because of one large list
        return _error(safe_repr(error), "and its process goes on")
    if isinstance(error, (Exception, *meant)) or terminate_handler_fired():  # someone told our process to end
        return None
    if isinstance(error, asyncio.CancelledError):
        return _error("CancelledError", "though nobody had cancelled it")
    return _error(safe_repr(error), "which ends a process, not a task")


def ending_of(error: BaseException) -> WaitEndedError | None:
    """Return the WaitEndedError that ended the task, even if its clean-up raised another error after it; else None."""
    seen: BaseException | None = error
    for _ in range(CLEANUPS_MAX):
        if seen is None or isinstance(seen, WaitEndedError):
            return seen
        seen = seen.__context__
    return None


def _error(what: str, why: str) -> RuntimeError:
    return RuntimeError(f"the task raised {what}, {why}")
