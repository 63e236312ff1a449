"""Celery's pool of threads, except that any error settles the task that raised it, and a revoked task stops waiting.

Celery's own pool forgets a task whose run raises an error outside its body, or one that is no `Exception`: the task is
never settled, and its slot is lost. It answers `revoke(terminate=True)` and a change of its size with a traceback, and
ignores time limits without a word.

No thread can be ended. A revoked task ends where it waits in one of interlock's primitives, at once or when it comes to
one. Until then it goes on. Time limits do not apply.
"""

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from celery.concurrency import thread

import interlock
from tasks.celery_app import exits
from workers.extensions.execution import Resizable, failure

log = logging.getLogger(__name__)

exits.meant.add(interlock.WaitEndedError)


class Job(thread.ApplyResult):  # type: ignore[misc]
    """A task that the pool was given. Celery's `Request` keeps the job, and ends it by `terminate`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ended = False
        self.ending: Any = None  # from `interlock.endable()`, of the thread that runs the task

    def submitted(self, future: Future[None]) -> None:
        """Note the future of this job, which waits for a thread."""
        super().__init__(future)

    def terminate(self, _signal: int | None = None) -> None:
        """End the job. Any thread may call this."""
        self.ended = True
        if self.ending is not None:
            self.ending.end()
            log.warning(
                "%s was revoked: a thread cannot be ended, so it ends when it waits in a primitive of interlock, or by "
                "itself",
                self.name,
            )


class TaskPool(Resizable, thread.TaskPool):  # type: ignore[misc]
    """The pool."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._jobs: set[Job] = set()  # Celery keeps only weak references
        self._limits_told: set[str] = set()  # names of tasks

    def on_start(self) -> None:
        """Warn of time limits, which do not apply to threads."""
        limits = {name: self.options.get(name) for name in ("timeout", "soft_timeout")}
        if any(limits.values()):
            log.warning(
                "time limits do not apply to threads, which cannot be ended: give what a task waits for a timeout, or "
                "run it on queue cpu or aio"
            )

    def on_apply(
        self,
        target: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        callback: Callable[..., Any] = lambda _: None,
        accept_callback: Callable[..., Any] = lambda *_: None,
        error_callback: Callable[..., Any] = lambda _: None,
        soft_timeout: float | None = None,
        timeout: float | None = None,
        **_: Any,
    ) -> Job:
        """Run a task in the next free thread. Call `accept_callback` at its beginning, the others at its end."""
        job = Job(f"{args[0]}[{args[1]}]")
        self._tell_limits(args[0], soft_timeout, timeout)

        def run() -> None:
            try:
                with interlock.endable() as job.ending:
                    accept_callback(os.getpid(), time.monotonic())
                    if job.ended:  # revoked before it began: accept_callback has just told Celery
                        return
                    outcome = target(*args, **(kwargs or {}))
            except BaseException as error:
                if job.ended and isinstance(error, interlock.WaitEndedError):
                    log.info("%s waits no longer: it was revoked", job.name)
                else:
                    error_callback(failure(error))
            else:
                callback(outcome)
            finally:
                self._jobs.discard(job)

        self._jobs.add(job)
        job.submitted(self.executor.submit(run))
        return job

    def _tell_limits(self, name: str, soft: float | None, hard: float | None) -> None:
        """Warn once of each task that has a time limit of its own."""
        usual = self.app.conf.task_soft_time_limit, self.app.conf.task_time_limit
        if (soft or hard) and (soft, hard) != usual and name not in self._limits_told:
            self._limits_told.add(name)
            log.warning("%s has a time limit of its own, which does not apply to threads", name)

    def _resize(self, limit: int) -> None:
        self.limit = limit
        self.executor._max_workers = max(limit, len(self.executor._threads))  # its threads stay, without work
