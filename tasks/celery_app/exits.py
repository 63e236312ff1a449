"""What a task raises to end its process, or by accident: the task fails with it, on every pool alike.

`sys.exit()` in a task means the task. Celery's pools each do something else with it: processes end and the task runs
four times, threads leave it unsettled for ever.
"""

import asyncio

from billiard.common import terminate_handler_fired
from celery.exceptions import WorkerShutdown, WorkerTerminate
from kombu.utils.encoding import safe_repr

from interlock import WaitEndedError

CLEANUPS_MAX = 20  # nested blocks that each raise while they clean up

meant: set[type[BaseException]] = {WorkerShutdown, WorkerTerminate}
"""What ends a worker, or a task from outside, and must arrive there. A pool adds what it raises itself."""


def contained(error: BaseException) -> Exception | None:
    """The error that a task fails with in place of one that would end more than the task; None: it goes on its way."""
    if isinstance(error, MemoryError):  # Celery would end the worker, because of one large list
        return _error(safe_repr(error), "and its process goes on")
    if isinstance(error, (Exception, *meant)) or terminate_handler_fired():  # our process was told to end
        return None
    if isinstance(error, asyncio.CancelledError):
        return _error("CancelledError", "though nobody had cancelled it")
    return _error(safe_repr(error), "which ends a process, not a task")


def ending_of(error: BaseException) -> WaitEndedError | None:
    """That the task was ended where it waited, though its cleaning up raised something else since then."""
    seen: BaseException | None = error
    for _ in range(CLEANUPS_MAX):
        if seen is None or isinstance(seen, WaitEndedError):
            return seen
        seen = seen.__context__
    return None


def _error(what: str, why: str) -> RuntimeError:
    return RuntimeError(f"the task raised {what}, {why}")
