"""`Executor`: an executor of `concurrent.futures` whose pool are the workers."""

import concurrent.futures
import os
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

from tasks.celery_app import app, batches
from tasks.celery_app.base import Task
from tasks.enqueuing.futures import Pending, TaskFuture
from tasks.enqueuing.jobs import Job, checked_task
from tasks.enqueuing.messages import Messages, new_name
from tasks.enqueuing.outages import through_outages
from tasks.enqueuing.sending import Sending, check_limits
from tasks.transport import bulk
from tasks.transport.bulk import Sendable


class Executor(concurrent.futures.Executor):
    """Runs tasks on the workers, with the interface of `concurrent.futures`.

    >>> with Executor() as executor:
    ...     print([answer["square"] for answer in executor.map(print_square, range(5))])
    [0, 1, 4, 9, 16]

    `submit`, `map` and `shutdown` are those of the standard library, and its `as_completed` and `wait` take the
    futures. An exception of a task comes with the worker's traceback as its cause. It differs from
    `ProcessPoolExecutor` in these things:

    - It takes tasks of the app, and no other functions. A wrong argument raises its error in `submit`, or in `map`
      before anything is sent.
    - `cancel()` is exact: see `TaskFuture`.
    - Tasks of a worker that was killed run again elsewhere, and the future waits. A task whose message became a dead
      letter after its workers vanished has no outcome: give `result()` a timeout.
    - It does not survive a fork. When the program is killed, its tasks run on, and nobody has their results.

    `submit` takes one round trip, and `map` one for 500 tasks. One thread and one subscription wait for all futures. A
    future takes about a kilobyte until it has its outcome; its result is then removed from Redis.

    Args:
        queue: `cpu`, `io` or `aio`, for all tasks; None: each task's own.
        queue_max: `submit` and `map` wait while the queue has this many messages; None: they do not.
        timeout: how many seconds a full queue may stay as long as it is; None: for ever.
        **options: as those of `enqueue_many`, for all tasks.

    Raises:
        TypeError, ValueError: an option is wrong.
    """

    def __init__(
        self,
        queue: str | None = None,
        *,
        queue_max: int | None = 100_000,
        timeout: float | None = 60.0,
        **options: Any,
    ) -> None:
        check_limits(queue_max, timeout)
        self._name = f"executor-{new_name()}"
        self._group = batches.group_of(self._name)
        self._options = {**options, "queue": queue, "ignore_result": False}
        self._limits = queue_max, timeout
        self._messages: dict[str, Messages] = {}  # by the task's name
        self._messages_of(app.tasks["celery.accumulate"])  # any task: so a wrong option is refused here
        self._pending = Pending(app.backend, self._group)
        self._entry = threading.Lock()
        self._number = 0
        self._shut = False
        self._process = os.getpid()

    def submit(self, task: Task, /, *args: Any, **kwargs: Any) -> TaskFuture:  # type: ignore[override]
        """Enqueue a task with these arguments, and return its future.

        Raises:
            RuntimeError: the executor was shut down, or made before a fork.
            concurrent.futures.BrokenExecutor: Redis had been away for too long.
            TypeError, ValueError: an argument is wrong.
            QueueFullError, kombu.exceptions.OperationalError: as of `enqueue_many`.
        """
        (future,) = self._submitted(task, [(args, kwargs)])
        return future

    def map(  # type: ignore[override]
        self, task: Task, *iterables: Iterable[Any], timeout: float | None = None, chunksize: int = 1
    ) -> Iterator[Any]:
        """Enqueue a task for the items of the iterables, all before this returns; iterate over results in their order.

        If one iterates no further, or an error is raised, the tasks that no worker has taken are cancelled.

        Args:
            task: the task.
            *iterables: its arguments, each an iterable; the shortest counts.
            timeout: seconds from now; None: for ever.
            chunksize: as of `ThreadPoolExecutor`, without effect.

        Raises:
            TimeoutError: the time is over, while one iterates.
            Exception: what the first task raised that failed, while one iterates; and all that `submit` raises.
        """
        if chunksize < 1:
            raise ValueError(f"chunksize must be 1 or more, not {chunksize}")
        until = None if timeout is None else time.monotonic() + timeout
        futures = self._submitted(task, [(args, {}) for args in zip(*iterables, strict=False)])
        return _results(futures[::-1], until)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks, as the standard library's executors do.

        Args:
            wait: whether to wait until all futures have their outcomes.
            cancel_futures: whether to cancel the tasks that no worker has taken.
        """
        with self._entry:
            self._shut = True
        self._pending.end()
        if cancel_futures:
            for future in self._pending.all():
                future.cancel()
        if wait:
            self._pending.join()
            self._pending.forget()

    def _submitted(self, task: Task, calls: list[tuple[Any, Any]]) -> list[TaskFuture]:
        checked_task(task)
        bound = [task.checked(args, kwargs) for args, kwargs in calls]
        with self._entry:
            if self._process != os.getpid():
                raise RuntimeError("an Executor does not survive a fork: make another in the child")
            if self._shut:
                raise RuntimeError("cannot schedule new futures after shutdown")
            first, self._number = self._number, self._number + len(calls)
            futures = [TaskFuture(f"{self._name}-{first + number}", self._withdraw) for number in range(len(calls))]
            for future in futures:
                self._pending.add(future)
        given = zip(futures, calls, bound, strict=True)
        jobs = (Job(place, future.id, *call, bound) for place, (future, call, bound) in enumerate(given))
        by_id = {future.id: future for future in futures}

        def made(message: Sendable) -> None:
            by_id[message.id].message = message

        def put(id: str) -> None:
            by_id[id].sent = True

        try:
            messages = self._messages_of(task)
            Sending(task, self._name, messages, *self._limits, made=made, put=put, repeatable=False).send(jobs)
        except BaseException:
            for future in futures:  # what was sent already runs, as what other executors were given
                if not future.sent:
                    self._pending.remove(future)
            raise
        return futures

    def _messages_of(self, task: Task) -> Messages:
        if task.name not in self._messages:
            self._messages[task.name] = Messages(task, self._group, self._options)
        return self._messages[task.name]

    def _withdraw(self, future: TaskFuture) -> bool:
        message = future.message
        if message is None:
            return False

        def withdraw() -> bool:
            with app.producer_or_acquire() as producer, producer.connection._reraise_as_library_errors():
                return bulk.withdraw(producer.channel, message)

        withdrawn = through_outages(withdraw)
        if withdrawn:
            self._pending.remove(future)
        return withdrawn


def _results(futures: list[TaskFuture], until: float | None) -> Iterator[Any]:
    """Yield the results, the last future's first; at the end, cancel those that are left."""
    try:
        while futures:
            future = futures.pop()
            try:
                yield future.result(None if until is None else until - time.monotonic())
            finally:
                future.cancel()
                del future
    finally:
        for future in futures:
            future.cancel()
