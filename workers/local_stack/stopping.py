"""Signals that ask us to stop: one exception, raised where it may be."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """A signal asked us to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


_asked: int | None = None  # the first such signal; later ones change nothing: they must not stop the cleaning up
_raised = False
_whole = 0  # how many `uninterrupted` blocks the main thread is in


def install() -> None:
    """From now on, the first of these signals raises Stopped in the main thread."""
    for each in STOPPING:
        if each != signal.SIGHUP or signal.getsignal(each) != signal.SIG_IGN:  # ignored: nohup
            signal.signal(each, _stop)


def uninstall() -> None:
    """From now on, these signals end the process without a word: there is nothing left to clean up."""
    for each in STOPPING:
        if signal.getsignal(each) == _stop:
            signal.signal(each, signal.SIG_DFL)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """What must be done whole: a signal that comes inside raises Stopped at the end. For the main thread."""
    global _whole
    _whole += 1
    try:
        yield
    finally:
        _whole -= 1
        _raise_if_asked()


def _stop(number: int, _: FrameType | None) -> None:
    global _asked
    if _asked is None:
        _asked = number
    _raise_if_asked()


def _raise_if_asked() -> None:
    global _raised
    if _asked is not None and not _whole and not _raised:
        _raised = True
        raise Stopped(_asked)
