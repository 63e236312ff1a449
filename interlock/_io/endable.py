"""Ends from another thread what a thread waits for: the seam for task queues whose tasks are revoked."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from interlock.errors import WaitEndedError


class Restful(Protocol):
    """What a thread rests on: `Signal` in _io/steps.py."""

    def rest(self, seconds: float | None) -> bool:
        """Rest until woken, or for so long."""

    def wake(self) -> None:
        """Wake who rests on it."""


class Ending:
    """Ends from outside, once and for all, what a thread waits for: `endable` makes one."""

    def __init__(self) -> None:
        self.ended = False
        self._mutex = threading.Lock()
        self._signal: Restful | None = None  # on which the thread rests

    def end(self) -> None:
        """Have the thread's wait raise `WaitEndedError`, or its next one; from any thread."""
        with self._mutex:
            self.ended = True
            if self._signal is not None:
                self._signal.wake()

    def rest(self, signal: Restful, seconds: float | None) -> bool:
        """Rest on a signal; in the thread that this belongs to."""
        with self._mutex:
            if not self.ended:
                self._signal = signal
        try:
            woken = not self.ended and signal.rest(seconds)
        finally:
            with self._mutex:
                self._signal = None
        if self.ended:
            raise WaitEndedError("what waited was ended from outside")
        return woken


current: ContextVar[Ending | None] = ContextVar("interlock.ending", default=None)


@contextmanager
def endable() -> Iterator[Ending]:
    """Inside, another thread may end what this one waits for: the seam for task queues whose tasks are revoked.

    After `end()`, a primitive in which this thread waits raises `WaitEndedError`, as does each one in which it comes to
    wait. It has left the queue then, and passed on what it was just granted. What needs no waiting, and a release, go
    on as ever. It is a `BaseException`, which `except Exception` does not catch. For threads: a coroutine is cancelled.
    """
    ending = Ending()
    mark = current.set(ending)
    try:
        yield ending
    finally:
        current.reset(mark)
