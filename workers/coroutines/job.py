"""One task's coroutine on the event loop: its time limits, its end from outside, what its body raises."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded
from greenlet import GreenletExit

from tasks.celery_app import exits

log = logging.getLogger(__name__)

CLEANUP_WITHIN = 5.0  # seconds: a cancelled coroutine that has not ended then is left behind
TIME_LIMIT = "its time limit is over"
TERMINATED = "it was revoked, or its worker stops"


class EndedError(BaseException):
    """Raised in the tracer, for a coroutine that was ended from outside: no result is stored, and nobody retries."""


exits.meant.update((EndedError, GreenletExit))


class Running:
    """A coroutine on its way to its end; all of it in the thread of the event loop."""

    def __init__(
        self, name: str, soft: float | None, hard: float | None, tell_soft: Callable[[], None] = lambda: None
    ) -> None:
        """Name it for people; its time limits in seconds; whom to tell that the soft one is over."""
        self.name, self._tell_soft = name, tell_soft
        self.soft, self.hard = soft, hard
        self.reason = ""  # why it is ended from outside
        self.settled = False
        self.result: Any = None
        self.error: BaseException | None = None
        self._timers: list[asyncio.TimerHandle] = []

    def begin(self, coroutine: Coroutine[Any, Any, Any], context: Context, tell_settled: Callable[[], None]) -> None:
        """Start it; whom to tell, once, that it has ended or is waited for no longer."""
        loop = asyncio.get_running_loop()
        self._tell_settled = tell_settled
        self._body = _Body(coroutine)
        self._task = loop.create_task(self._body, context=context)
        self._task.add_done_callback(self._done)
        if self.soft:
            self._timers.append(loop.call_later(self.soft, self._end_softly))
        if self.hard:
            self._timers.append(loop.call_later(self.hard, self.end, TIME_LIMIT))

    def end(self, reason: str) -> None:
        """Cancel it, and settle without it if it does not end."""
        if self.settled or self.reason:
            return
        self.reason = reason
        self._task.cancel(reason)
        self._timers.append(asyncio.get_running_loop().call_later(CLEANUP_WITHIN, self._leave))

    def _end_softly(self) -> None:
        if not self.settled and not self.reason:
            self._tell_soft()
            self._body.raise_inside(SoftTimeLimitExceeded(self.soft), self._task)

    def _done(self, task: asyncio.Task[Any]) -> None:
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if self.reason:
            error = EndedError(self.reason)
        self._settle(None if error else task.result(), error)

    def _leave(self) -> None:
        log.error("%s goes on though it was cancelled (%s): its worker waits no longer for it", self.name, self.reason)
        self._settle(None, EndedError(self.reason))

    def _settle(self, result: Any, error: BaseException | None) -> None:
        if self.settled:
            return
        self.settled = True
        for timer in self._timers:
            timer.cancel()
        self.result, self.error = result, error
        del self._task, self._body
        self._tell_settled()


class _Body(Coroutine[Any, Any, Any]):
    """A coroutine into which an exception can be raised from outside, and that ends no event loop."""

    def __init__(self, inner: Coroutine[Any, Any, Any]) -> None:
        self._inner = inner
        self._due: tuple[BaseException, asyncio.Task[Any]] | None = None

    def raise_inside(self, error: BaseException, task: asyncio.Task[Any]) -> None:
        """Raise it where the coroutine waits: its task is cancelled, and the cancellation replaced."""
        self._due = error, task
        task.cancel()

    def send(self, value: Any) -> Any:
        """As a coroutine's."""
        if self._due is not None:  # what it waited for has swallowed the cancellation
            return self.throw(asyncio.CancelledError())
        return self._guarded(self._inner.send, value)

    def throw(self, error: Any, *_: Any) -> Any:
        """As a coroutine's; a cancellation that stands for another exception is replaced by it."""
        if self._due is not None and isinstance(error, asyncio.CancelledError):
            (error, task), self._due = self._due, None
            task.uncancel()
        return self._guarded(self._inner.throw, error)

    def close(self) -> None:
        """As a coroutine's."""
        self._inner.close()

    def __await__(self) -> Any:
        return (yield from self._inner.__await__())

    @staticmethod
    def _guarded(step: Callable[[Any], Any], argument: Any) -> Any:
        try:
            return step(argument)
        except (SystemExit, KeyboardInterrupt) as error:
            raise exits.contained(error) or error from error
