"""One short producer script for each program of the tutorial: `python -m examples.threads`."""

import sys
from types import TracebackType


def _one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What a user or an outage can cause is told in one line; the rest is a fault of ours."""
    if issubclass(kind, KeyboardInterrupt):  # perhaps before what is imported below
        print("stopped", file=sys.stderr)
        return

    import redis
    from celery import exceptions
    from kombu.exceptions import OperationalError

    from interlock import InterlockError, address

    ended = exceptions.TimeoutError, exceptions.TimeLimitExceeded, exceptions.WorkerLostError
    if issubclass(kind, InterlockError | OperationalError | ValueError | TimeoutError | ConnectionError):
        said = str(error)
    elif issubclass(kind, redis.RedisError):
        said = f"{address.unreachable(address.masked(address.url()), error)}, and run again"
    elif issubclass(kind, ended):
        said = f"a task did not end: {error}; are there workers? `python -m workers status`"
    else:
        sys.__excepthook__(kind, error, trace)
        return
    print(f"error: {said}", file=sys.stderr)


sys.excepthook = _one_line
