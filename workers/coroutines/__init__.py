"""A pool for tasks written as `async def`: thousands at once in one process, on one event loop.

    CELERY_CUSTOM_WORKER_POOL=workers.coroutines:TaskPool celery -A workers worker -Q aio --pool custom

The pool has three threads. Celery's own thread takes messages and acknowledges them, the tracer's stores results and
sends events, and the event loop's runs the coroutines. A task that is no coroutine runs in the tracer's thread and
holds up all others: use another pool for such tasks.
"""

import gc
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from celery.concurrency.base import BasePool

from interlock._text import one_line
from tasks.celery_app import environment
from workers.coroutines.event_loop import EventLoop
from workers.coroutines.job import CLEANUP_WITHIN, TIME_LIMIT, EndedError, Running
from workers.coroutines.tracer import Job, Tracer
from workers.extensions.execution import Resizable, failure

GARBAGE_AFTER = 10_000  # new objects; with Python's 700, the collector takes a tenth of the time


class TaskPool(Resizable, BasePool):  # type: ignore[misc]
    """The pool."""

    limit: int
    body_can_be_buffer = True
    signal_safe = False
    _tracer: Tracer | None = None

    def on_start(self) -> None:
        """Start the threads."""
        self._loop = EventLoop(environment.read().blocked_ms / 1000)
        self._tracer = Tracer(self.app, self._loop, self.limit)
        gc.freeze()  # imported objects stay: the collector need not look at them again
        gc.set_threshold(GARBAGE_AFTER)
        self._loop.start()
        self._tracer.start()

    @property
    def blocked_for(self) -> float:
        """For how many seconds a coroutine has blocked the event loop."""
        return self._loop.blocked_for

    def on_stop(self) -> None:
        """Wait until all tasks that have begun have ended. The others go back to their queue."""
        self._close(None)

    def on_terminate(self) -> None:
        """End all tasks that have begun."""
        if self._tracer is not None:
            self._tracer.terminate_all()
            self._close(2 * CLEANUP_WITHIN)

    def _close(self, patience: float | None) -> None:
        if self._tracer is None:
            return
        self._tracer.drain(patience)
        self._tracer.stop(CLEANUP_WITHIN)
        self._loop.stop(CLEANUP_WITHIN)
        self._tracer = None

    def on_apply(
        self,
        target: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        callback: Callable[..., Any] | None = None,
        accept_callback: Callable[..., Any] | None = None,
        error_callback: Callable[..., Any] | None = None,
        timeout_callback: Callable[..., Any] | None = None,
        soft_timeout: float | None = None,
        timeout: float | None = None,
        **_: Any,
    ) -> Job:
        """Run a task when its turn comes. Call `accept_callback` at its beginning, the others at its end."""
        assert self._tracer is not None
        soft, hard = soft_timeout or self.options.get("soft_timeout"), timeout or self.options.get("timeout")

        def work(job: Job) -> None:
            try:
                if accept_callback:
                    accept_callback(os.getpid(), time.monotonic())
                if job.dropped:  # revoked before its turn: accept_callback has just told Celery
                    return
                outcome = target(*args, **(kwargs or {}))
            except EndedError:
                if job.running.reason == TIME_LIMIT and timeout_callback:
                    timeout_callback(False, hard)
            except BaseException as error:  # in Celery's own code
                if error_callback:
                    error_callback(failure(error))
            else:
                if callback:
                    callback(outcome)

        def tell_soft() -> None:
            if timeout_callback:
                timeout_callback(True, soft)

        job = Job(self._tracer, Running(one_line(f"{args[0]}[{args[1]}]"), soft, hard, tell_soft), work)
        self._tracer.submit(job)
        return job

    def _resize(self, limit: int) -> None:
        self.limit = limit
        if self._tracer is not None:
            self._tracer.resize(limit)

    def _get_info(self) -> dict[str, Any]:
        return {**super()._get_info(), "running": self._tracer.running if self._tracer else 0}
