"""A task's coroutine on the event loop: its time limits, its end from outside, the errors of its body."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded
from greenlet import GreenletExit

from tasks.celery_app import exits

log = logging.getLogger(__name__)

CLEANUP_WITHIN = 5.0  # seconds: the pool abandons a cancelled coroutine that has not ended by then
TIME_LIMIT = "its time limit is over"
TERMINATED = "it was revoked, or its worker stops"


class EndedError(BaseException):
    """Raised in the tracer if a coroutine was ended from outside: then Celery stores no result and does not retry."""


exits.meant.update((EndedError, GreenletExit))


class Running:
    """A coroutine that runs. All its methods run in the thread of the event loop."""

    def __init__(
        self, name: str, soft: float | None, hard: float | None, tell_soft: Callable[[], None] = lambda: None
    ) -> None:
        """Note a name for people, the time limits in seconds, and what to call when the soft limit is over."""
        self.name, self._tell_soft = name, tell_soft
        self.soft, self.hard = soft, hard
        self.reason = ""  # why it was ended from outside
        self.settled = False
        self.result: Any = None
        self.error: BaseException | None = None
        self._timers: list[asyncio.TimerHandle] = []

    def begin(self, coroutine: Coroutine[Any, Any, Any], context: Context, tell_settled: Callable[[], None]) -> None:
        """Start the coroutine. Call `tell_settled` once, when it has ended or has been abandoned."""
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
        """Cancel the coroutine, and abandon it if it does not end."""
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
    """A coroutine that others can raise an exception in, and that ends no event loop."""

    def __init__(self, inner: Coroutine[Any, Any, Any]) -> None:
        self._inner = inner
        self._due: tuple[BaseException, asyncio.Task[Any]] | None = None

    def raise_inside(self, error: BaseException, task: asyncio.Task[Any]) -> None:
        """Raise an error where the coroutine waits: cancel its task, and replace the cancellation by the error."""
        self._due = error, task
        task.cancel()

    def send(self, value: Any) -> Any:
        """Resume the coroutine."""
        if self._due is not None:  # the awaited object has swallowed the cancellation
            return self.throw(asyncio.CancelledError())
        return self._guarded(self._inner.send, value)

    def throw(self, error: Any, *_: Any) -> Any:
        """Raise an error in the coroutine, or, for a cancellation by `raise_inside`, the error given there."""
        if self._due is not None and isinstance(error, asyncio.CancelledError):
            (error, task), self._due = self._due, None
            task.uncancel()
        return self._guarded(self._inner.throw, error)

    def close(self) -> None:
        """Close the coroutine."""
        self._inner.close()

    def __await__(self) -> Any:
        return (yield from self._inner.__await__())

    @staticmethod
    def _guarded(step: Callable[[Any], Any], argument: Any) -> Any:
        try:
            return step(argument)
        except (SystemExit, KeyboardInterrupt) as error:
            raise exits.contained(error) or error from error
