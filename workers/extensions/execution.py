"""What pools have in common: whatever a run raises is a failure that is reported, and ends no pool."""

from collections.abc import Callable
from typing import Any

from billiard.einfo import ExceptionInfo
from celery.exceptions import BackendStoreError, Reject
from kombu.exceptions import OperationalError
from redis import RedisError

from tasks.celery_app import exits
from tasks.celery_app.outage import heals


class Resizable:
    """What pools of one process answer to Celery when it is asked to change their size, or to end a task."""

    limit: int

    def terminate_job(self, pid: int, signal: int | None = None) -> None:
        """Nothing: all tasks have one process id. Celery calls the job's `terminate` next."""

    def grow(self, n: int = 1) -> None:
        """Run so many more at once."""
        self._resize(self.limit + n)

    def shrink(self, n: int = 1) -> None:
        """Run so many fewer at once, as soon as others have ended: no more tasks begin until then."""
        self._resize(max(1, self.limit - n))

    def _resize(self, limit: int) -> None:
        raise NotImplementedError


def traced(trace: Callable[..., Any], *arguments: Any) -> Any:
    """Run the tracer in a process of a pool. Outside a task's body, too, `sys.exit` means the task."""
    try:
        return trace(*arguments)
    except BaseException as error:
        instead = _instead(error)
        if instead is None:
            raise
        raise instead from error


def failure(error: BaseException) -> ExceptionInfo:
    """What a pool reports of a task whose run raised this; called while the error is handled."""
    try:
        raise _instead(error) or error
    except BaseException:
        return ExceptionInfo()


def _instead(error: BaseException) -> Exception | None:
    """What is reported in place of an error. A task whose state Redis did not take for long is given back, not lost."""
    if isinstance(error, RedisError | BackendStoreError | OperationalError) and heals(error):
        given_back: Exception = Reject(f"its state could not be stored: {error}", requeue=True)
        return given_back
    return exits.contained(error)
