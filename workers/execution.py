"""A task's run as pools see it: whatever Celery's tracer raises is a failure that is reported, and ends no pool."""

from collections.abc import Callable
from typing import Any

from billiard.einfo import ExceptionInfo
from celery.exceptions import BackendStoreError, Reject
from kombu.exceptions import OperationalError
from redis import RedisError

from tasks import exits
from tasks.outage import heals


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
