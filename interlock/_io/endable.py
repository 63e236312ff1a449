"""Lets another thread end the wait of this one: task queues need it for tasks that are revoked."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from interlock.errors import WaitEndedError


class Restful(Protocol):
    """What a thread rests on while it waits: `Signal` in _io/steps.py."""

    def rest(self, seconds: float | None) -> bool:
        """Rest until another thread wakes this one, or for `seconds`. Return whether it was woken."""

    def wake(self) -> None:
        """Wake the thread that rests on this."""


class Ending:
    """Ends the waits of one thread from outside, once and for all. `endable` makes one for its thread."""

    def __init__(self) -> None:
        self.ended = False
        self._mutex = threading.Lock()
        self._signal: Restful | None = None  # the signal on which the thread rests

    def end(self) -> None:
        """Make the thread's wait raise `WaitEndedError`, or its next wait if it waits for nothing now.

        Any thread may call this.
        """
        with self._mutex:
            self.ended = True
            if self._signal is not None:
                self._signal.wake()

    def rest(self, signal: Restful, seconds: float | None) -> bool:
        """Rest on a signal, for at most `seconds`, and return whether the signal was woken.

        Only the thread that this object belongs to calls this.

        Raises:
            WaitEndedError: another thread has called `end`.
        """
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
    """Let another thread end what this thread waits for: task queues need it for tasks that are revoked.

    After `end()`, a primitive in which this thread waits raises `WaitEndedError`, and so does each primitive in which
    it comes to wait later. Before the error, the thread has left the wait queue, and has passed on a grant that came
    meanwhile. Calls that need no waiting, and releases, go on as ever. `WaitEndedError` is a `BaseException`, which
    `except Exception` does not catch. This is for threads: a coroutine is cancelled instead.
    """
    ending = Ending()
    mark = current.set(ending)
    try:
        yield ending
    finally:
        current.reset(mark)
