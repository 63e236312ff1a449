"""What the pools share: an error of any kind in a run is reported as a failure, and ends no pool."""

from collections.abc import Callable
from typing import Any

from billiard.einfo import ExceptionInfo
from celery.exceptions import BackendStoreError, Reject
from kombu.exceptions import OperationalError
from redis import RedisError

from tasks.celery_app import exits
from tasks.celery_app.outage import heals


class Resizable:
    """The commands to grow, to shrink and to end a task, for pools that are one process."""

    limit: int

    def terminate_job(self, pid: int, signal: int | None = None) -> None:
        """Do nothing, for all tasks share one process id. Celery calls the job's `terminate` next."""

    def grow(self, n: int = 1) -> None:
        """Run `n` more tasks at once."""
        self._resize(self.limit + n)

    def shrink(self, n: int = 1) -> None:
        """Run `n` fewer tasks at once. No task begins until enough others have ended."""
        self._resize(max(1, self.limit - n))

    def _resize(self, limit: int) -> None:
        raise NotImplementedError


def traced(trace: Callable[..., Any], *arguments: Any) -> Any:
    """Run the tracer in a process of a pool. Also outside a task's body, `sys.exit` ends only the task."""
    try:
        return trace(*arguments)
    except BaseException as error:
        instead = _instead(error)
        if instead is None:
            raise
        raise instead from error


def failure(error: BaseException) -> ExceptionInfo:
    """Return what a pool reports for a run that raised this error. Call it while the error is handled."""
    try:
        raise _instead(error) or error
    except BaseException:
        return ExceptionInfo()


def _instead(error: BaseException) -> Exception | None:
    """Return the error to report instead, or None. If Redis did not store a state for long, the task is given back."""
    if isinstance(error, RedisError | BackendStoreError | OperationalError) and heals(error):
        given_back: Exception = Reject(f"its state could not be stored: {error}", requeue=True)
        return given_back
    return exits.contained(error)
