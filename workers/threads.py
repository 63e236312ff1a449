"""Celery's pool of threads, in which whatever a task raises settles the task.

Celery's own forgets a task whose run raises outside its body, or raises what is no `Exception`: it is never settled,
and its slot is gone.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from celery.concurrency import thread

from workers.execution import failure


class TaskPool(thread.TaskPool):  # type: ignore[misc]
    """The pool."""

    def on_apply(
        self,
        target: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        callback: Callable[..., Any] = lambda _: None,
        accept_callback: Callable[..., Any] = lambda *_: None,
        error_callback: Callable[..., Any] = lambda _: None,
        **_: Any,
    ) -> thread.ApplyResult:
        """Run a task when a thread is free; `accept_callback` is called at its beginning, others at its end."""

        def run() -> None:
            try:
                accept_callback(os.getpid(), time.monotonic())
                outcome = target(*args, **(kwargs or {}))
            except BaseException as error:
                error_callback(failure(error))
            else:
                callback(outcome)

        return thread.ApplyResult(self.executor.submit(run))
