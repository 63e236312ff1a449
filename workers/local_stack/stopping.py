"""Signals that ask this process to stop: they raise one exception, where that is safe."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """A signal asked this process to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


_asked: int | None = None  # the first such signal; later ones have no effect, so that the clean-up completes
_raised = False
_whole = 0  # how many `uninterrupted` blocks the main thread is in


def install() -> None:
    """Have the first of these signals raise Stopped in the main thread."""
    for each in STOPPING:
        if each != signal.SIGHUP or signal.getsignal(each) != signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(each, _stop)


def uninstall() -> None:
    """Have these signals end the process at once, for nothing is left to clean up."""
    for each in STOPPING:
        if signal.getsignal(each) == _stop:
            signal.signal(each, signal.SIG_DFL)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay Stopped to the end of the block, if a signal comes inside. For the main thread."""
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
