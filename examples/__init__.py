"""One short script for each program of the tutorial, and for what it only names: `python -m examples.threads`.

A script enqueues tasks, waits for them, and hands what they returned to a function of `_claims`, which judges it.
"""

import sys
from types import TracebackType


def _one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print one line for an error that a user or an outage can cause; any other is ours, and gets its traceback."""
    if issubclass(kind, KeyboardInterrupt):  # it may come before the modules below can be imported
        print("stopped", file=sys.stderr)
        return

    import redis
    from celery import exceptions
    from kombu.exceptions import OperationalError

    from interlock import InterlockError, address

    ended = exceptions.TimeoutError, exceptions.TimeLimitExceeded, exceptions.WorkerLostError
    if issubclass(kind, InterlockError | OperationalError | ValueError | TimeoutError | ConnectionError):
        text = str(error)
    elif issubclass(kind, redis.RedisError):
        text = f"{address.unreachable(address.masked(address.url()), error)}, and run again"
    elif issubclass(kind, ended):
        text = f"a task did not end: {error}; are there workers? `python -m workers status`"
    else:
        sys.__excepthook__(kind, error, trace)
        return
    print(f"error: {text}", file=sys.stderr)


sys.excepthook = _one_line
