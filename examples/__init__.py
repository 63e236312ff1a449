"""One short producer script for each program of the tutorial: `python -m examples.threads`."""

import sys
from types import TracebackType

from celery.backends.asynchronous import E_RETRY_LIMIT_EXCEEDED
from kombu.exceptions import OperationalError

from interlock import InterlockError, address

EXPECTED = (InterlockError, OperationalError, ValueError, KeyboardInterrupt)  # what a user or an outage can cause


def _one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if str(error) == E_RETRY_LIMIT_EXCEEDED:  # what Celery says, in three lines, of a Redis that does not answer
        print(f"error: {address.unreachable(address.masked(address.url()), error.__cause__)}", file=sys.stderr)
    elif issubclass(kind, EXPECTED):
        print("stopped" if issubclass(kind, KeyboardInterrupt) else f"error: {error}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _one_line
