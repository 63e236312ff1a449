"""A task's run as pools see it: whatever Celery's tracer raises is a failure that is reported, and ends no pool."""

from collections.abc import Callable
from typing import Any

from billiard.einfo import ExceptionInfo

from tasks import exits


def traced(trace: Callable[..., Any], *arguments: Any) -> Any:
    """Run the tracer in a process of a pool. Outside a task's body, too, `sys.exit` means the task."""
    try:
        return trace(*arguments)
    except BaseException as error:
        instead = exits.contained(error)
        if instead is None:
            raise
        raise instead from error


def failure(error: BaseException) -> ExceptionInfo:
    """What a pool reports of a task whose run raised this; called while the error is handled."""
    try:
        raise exits.contained(error) or error
    except BaseException:
        return ExceptionInfo()
