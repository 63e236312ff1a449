"""The futures of an executor: a thread reads which tasks have ended, and gives each future its outcome."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, InvalidStateError
from contextlib import suppress
from typing import Any

from kombu.exceptions import OperationalError

from tasks.celery_app import batches
from tasks.enqueuing.following import ENDS_LOOK_EVERY, Cursor, Subscription, taken
from tasks.enqueuing.outages import TROUBLE
from tasks.transport.bulk import Sendable

log = logging.getLogger(__name__)


class TaskFuture(Future[Any]):
    """The future of a task.

    It differs from other futures in two things. `cancel()` asks Redis, in one round trip, and returns True only if it
    has removed the task's message from its queue: the task then never runs. `running()` is always False, for nobody
    asks whether a worker has begun the task.

    Args:
        id: the id of the task.
        withdraw: removes a message from its queue; whether it was there.
    """

    def __init__(self, id: str, withdraw: Callable[["TaskFuture"], bool]) -> None:
        super().__init__()
        self.id = id
        self.message: Sendable | None = None
        """The message as it lies in the queue; None: it has not been sent."""
        self.sent = False
        """Whether the message is on its queue for sure."""
        self._withdraw = withdraw

    def cancel(self) -> bool:
        """Cancel the task if no worker has taken it; return whether the future is cancelled.

        Raises:
            kombu.exceptions.OperationalError: Redis has not answered for 30 seconds, or refuses.
        """
        if self.done():
            return self.cancelled()
        if self._withdraw(self) and super().cancel():
            self.set_running_or_notify_cancel()  # whoever waits hears of it: in a pool, its worker would say so
        return self.cancelled()


class Pending:
    """The futures of one executor that have no outcome yet.

    A thread waits while there are some, and for ENDS_LOOK_EVERY seconds more. It is no daemon: so the interpreter does
    not end before they have their outcomes, as with the executors of the standard library.

    Args:
        backend: the app's.
        group: the group of the executor's messages.
    """

    def __init__(self, backend: Any, group: str) -> None:
        self._backend, self._group = backend, group
        self._futures: dict[str, TaskFuture] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._ended = False
        self.broken: BrokenExecutor | None = None
        """Why no outcome can be had any more; None: they can."""

    def add(self, future: TaskFuture) -> None:
        """Wait for the outcome of a future's task, too. Raises BrokenExecutor if none can be had."""
        with self._changed:
            if self.broken is not None:
                raise BrokenExecutor(str(self.broken)) from self.broken
            self._futures[future.id] = future
            self._changed.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"futures of {self._group}")
                self._thread.start()

    def remove(self, future: TaskFuture) -> None:
        """Wait no more for a task: it was not sent, or was cancelled."""
        with self._changed:
            self._futures.pop(future.id, None)
            self._changed.notify_all()

    def all(self) -> list[TaskFuture]:
        """Return the futures that have no outcome yet."""
        with self._changed:
            return list(self._futures.values())

    def end(self) -> None:
        """Have the thread end with the last future."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def join(self) -> None:
        """Wait until no future is without its outcome, and the thread asks Redis no more."""
        with self._changed:
            self._changed.wait_for(lambda: not self._futures)
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        cursor = Cursor(self._backend, self._group)
        try:
            with Subscription(self._backend, cursor.keys.channel) as subscription:
                while self._has_some():
                    outcomes = taken(self._backend, cursor, self._is_sent)
                    for outcome in outcomes:
                        self._settle(outcome.id, outcome.value, outcome.error)
                    if not outcomes:
                        subscription.wait(ENDS_LOOK_EVERY)
        except Exception as error:  # whatever it is: no future may wait for ever
            self._break(error)

    def _has_some(self) -> bool:
        """Whether there are futures, or some come soon; if not, the thread ends, and the next future begins another."""
        with self._changed:
            self._changed.wait_for(lambda: self._futures or self._ended, ENDS_LOOK_EVERY)
            if not self._futures:
                self._thread = None
            return self._thread is not None

    def _is_sent(self, id: str) -> bool:
        with self._changed:
            return id in self._futures and self._futures[id].sent

    def _settle(self, id: str, value: Any, error: BaseException | None) -> None:
        with self._changed:
            future = self._futures.get(id)
        if future is None:
            return  # a second run has ended
        with suppress(
            InvalidStateError
        ):  # it was cancelled just now: its first run had ended, its second had not begun
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)
        self.remove(future)

    def _break(self, error: Exception) -> None:
        if not isinstance(error, OperationalError):
            log.error("an executor ends: the outcomes of its tasks cannot be read", exc_info=error)
        broken = BrokenExecutor(f"the outcomes of tasks cannot be read: {error}")
        broken.__cause__ = error
        with self._changed:
            self.broken = broken
        for future in self.all():
            with suppress(InvalidStateError):  # it was cancelled just now
                future.set_exception(broken)
            self.remove(future)

    def forget(self) -> None:
        """Remove what Redis keeps of the executor. If Redis does not answer, do nothing: it forgets that in a day."""
        keys = batches.keys_of(self._backend, self._group)
        try:
            self._backend.client.delete(keys.sent, keys.ended, keys.awaited)
        except TROUBLE as error:
            log.debug("could not remove what is kept of %s: %s", self._group, error)
