"""A thread in which Celery's tracer runs once for each task, thousands at once, each in a greenlet.

The tracer is synchronous: it calls the task, stores the result, sends events. If a task is a coroutine, its greenlet
passes the coroutine to the event loop, in another thread, and switches away until the coroutine has ended. So no task
holds a thread while it waits, and the event loop does not wait while the tracer stores results.
"""

import functools
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import ContextVar, copy_context
from queue import SimpleQueue
from typing import Any

from celery import Celery, _state
from greenlet import getcurrent, greenlet

from tasks.celery_app import awaiting
from workers.coroutines.event_loop import EventLoop, described
from workers.coroutines.job import TERMINATED, Running

log = logging.getLogger(__name__)

_tracing: ContextVar[greenlet | None] = ContextVar("workers.tracing", default=None)


class Job:
    """A task that the pool was given. Celery's `Request` keeps the job, and ends it by `terminate`."""

    def __init__(self, tracer: "Tracer", running: Running, work: Callable[["Job"], None]) -> None:
        self.tracer, self.running, self.work = tracer, running, work
        self.dropped = False  # it was revoked before its turn came
        self.greenlet: greenlet | None = None  # the greenlet that runs its tracer

    def terminate(self, _signal: int | None = None) -> None:
        """End the job. Any thread may call this."""
        self.tracer.terminate(self)


class Tracer:
    """The thread and its tasks: at most `limit` at once, the others wait for their turn."""

    def __init__(self, app: Celery, loop: EventLoop, limit: int) -> None:
        self._loop, self._limit = loop, limit
        self._inbox: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._waiting: deque[Job] = deque()  # the thread alone uses this and the next two
        self._begun: set[Job] = set()
        self._drained: threading.Event | None = None
        self._thread = threading.Thread(target=self._serve, name="tracer", daemon=True)
        for stack in (_state._task_stack, *(task.request_stack for task in app.tasks.values())):
            stack.__ident_func__ = _whose  # `self.request` and `current_task`, also inside a coroutine

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Run a job when its turn comes."""
        self._inbox.put(lambda: self._enter(job))

    def terminate(self, job: Job) -> None:
        """End a job, whether it has begun or not."""
        self._inbox.put(lambda: self._terminate(job))

    def terminate_all(self) -> None:
        """End all jobs that have begun."""
        self._inbox.put(self._terminate_all)

    def resize(self, limit: int) -> None:
        """Run at most `limit` jobs at once from now on."""
        self._inbox.put(lambda: self._resize(limit))

    def drain(self, patience: float | None = None) -> None:
        """Begin no more jobs, and wait until the others have ended, for `patience` seconds at most."""
        drained = threading.Event()
        self._inbox.put(lambda: self._drain(drained))
        drained.wait(patience)

    def stop(self, patience: float) -> None:
        """End the thread."""
        self._inbox.put(None)
        self._thread.join(patience)

    @property
    def running(self) -> int:
        """The number of jobs that have begun and not ended."""
        return len(self._begun)

    # --- in the thread ---

    def _serve(self) -> None:
        self._hub = getcurrent()
        while (step := self._inbox.get()) is not None:
            step()

    def _enter(self, job: Job) -> None:
        self._waiting.append(job)
        self._begin_waiting()

    def _begin_waiting(self) -> None:
        if self._drained is not None:
            self._waiting.clear()  # the messages of these jobs go back to the queue
        while self._waiting and len(self._begun) < self._limit:
            self._begin(self._waiting.popleft())

    def _begin(self, job: Job) -> None:
        self._begun.add(job)
        job.greenlet = greenlet(self._run)
        job.greenlet.switch(job)

    def _run(self, job: Job) -> None:
        """Run a job in its greenlet, which has context variables of its own."""
        _tracing.set(job.greenlet)
        described.set(job.running.name)
        awaiting.driver.set(functools.partial(self._await, job))
        try:
            job.work(job)
        except BaseException:  # a callback of Celery's failed: the other jobs go on
            log.exception("%s could not be ended in order", job.running.name)
        finally:
            job.greenlet = None
            self._begun.discard(job)
            self._inbox.put(self._ended)

    def _await(self, job: Job, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Switch away until the coroutine has ended, then return or raise what it did."""
        running, rests = job.running, job.greenlet
        assert rests is not None
        context = copy_context()  # the greenlet's, so that the coroutine acts for the same task
        self._loop.call(lambda: running.begin(coroutine, context, lambda: self._inbox.put(rests.switch)))
        self._hub.switch()
        if running.error is not None:
            raise running.error
        return running.result

    def _ended(self) -> None:
        self._begin_waiting()
        if self._drained is not None and not self._begun:
            self._drained.set()

    def _terminate(self, job: Job) -> None:
        if job in self._begun:
            self._loop.call(lambda: job.running.end(TERMINATED))
        elif job in self._waiting:
            self._waiting.remove(job)
            job.dropped = True
            self._begin(job)  # Celery waits until it hears that the job has begun

    def _terminate_all(self) -> None:
        for job in self._begun:
            self._terminate(job)

    def _resize(self, limit: int) -> None:
        self._limit = limit
        self._begin_waiting()

    def _drain(self, drained: threading.Event) -> None:
        self._drained = drained
        self._ended()


def _whose() -> Any:
    """Return the key of `current_task` and the request: that of the task that the running coroutine belongs to."""
    return _tracing.get() or getcurrent()
