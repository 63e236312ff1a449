"""A thread in which Celery's tracer runs once for each task, thousands at once: in a greenlet each.

The tracer is synchronous: it calls the task, stores the result, sends events. Where a task is a coroutine, its greenlet
hands that to the event loop, in another thread, and rests until it has ended. So no task keeps a thread while it waits,
and storing results does not hold up the event loop.
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
    """A task that the pool was given. Celery's `Request` keeps it, and ends it by `terminate`."""

    def __init__(self, tracer: "Tracer", running: Running, work: Callable[["Job"], None]) -> None:
        self.tracer, self.running, self.work = tracer, running, work
        self.dropped = False  # it was ended before its turn came
        self.greenlet: greenlet | None = None  # in which it rests

    def terminate(self, _signal: int | None = None) -> None:
        """End it, from any thread."""
        self.tracer.terminate(self)


class Tracer:
    """The thread, and the tasks in it: so many at once, the others wait their turn."""

    def __init__(self, app: Celery, loop: EventLoop, limit: int) -> None:
        self._loop, self._limit = loop, limit
        self._inbox: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._waiting: deque[Job] = deque()  # this and the next two belong to the thread
        self._begun: set[Job] = set()
        self._drained: threading.Event | None = None
        self._thread = threading.Thread(target=self._serve, name="tracer", daemon=True)
        for stack in (_state._task_stack, *(task.request_stack for task in app.tasks.values())):
            stack.__ident_func__ = _whose  # `self.request` and `current_task`, also inside a coroutine

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Run it when its turn comes."""
        self._inbox.put(lambda: self._enter(job))

    def terminate(self, job: Job) -> None:
        """End it, whether it has begun or not."""
        self._inbox.put(lambda: self._terminate(job))

    def terminate_all(self) -> None:
        """End all that have begun."""
        self._inbox.put(self._terminate_all)

    def resize(self, limit: int) -> None:
        """So many at once from now on."""
        self._inbox.put(lambda: self._resize(limit))

    def drain(self, patience: float | None = None) -> None:
        """Begin no more, and wait until all that have begun have ended, or for so many seconds."""
        drained = threading.Event()
        self._inbox.put(lambda: self._drain(drained))
        drained.wait(patience)

    def stop(self, patience: float) -> None:
        """End the thread."""
        self._inbox.put(None)
        self._thread.join(patience)

    @property
    def running(self) -> int:
        """How many have begun and not ended."""
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
            self._waiting.clear()  # their messages go back to the queue
        while self._waiting and len(self._begun) < self._limit:
            self._begin(self._waiting.popleft())

    def _begin(self, job: Job) -> None:
        self._begun.add(job)
        job.greenlet = greenlet(self._run)
        job.greenlet.switch(job)

    def _run(self, job: Job) -> None:
        """What the greenlet does; its context variables are its own."""
        _tracing.set(job.greenlet)
        described.set(job.running.name)
        awaiting.driver.set(functools.partial(self._await, job))
        try:
            job.work(job)
        except BaseException:  # a callback of Celery's failed: others go on
            log.exception("%s could not be ended in order", job.running.name)
        finally:
            job.greenlet = None
            self._begun.discard(job)
            self._inbox.put(self._ended)

    def _await(self, job: Job, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Rest until the coroutine has ended; what it returned or raised."""
        running, rests = job.running, job.greenlet
        assert rests is not None
        context = copy_context()  # of the greenlet: on whose behalf the coroutine acts
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
            self._begin(job)  # to be announced as begun, which Celery waits for

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
    """Whose `current_task` and request are looked at: those of the task that the running coroutine belongs to."""
    return _tracing.get() or getcurrent()
