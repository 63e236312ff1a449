"""A batch: the tasks that were enqueued under one name, and their outcomes as they come."""

import time
from collections.abc import AsyncIterator, Iterator

import celery.exceptions

from tasks.celery_app import app, batches
from tasks.enqueuing import following_async
from tasks.enqueuing.following import ENDS_LOOK_EVERY, READ_MAX, Cursor, Subscription, read
from tasks.enqueuing.jobs import checked_name
from tasks.enqueuing.outages import through_outages
from tasks.enqueuing.outcomes import Outcome


class Batch:
    """The tasks that were enqueued under one name.

    >>> for outcome in enqueue_many(print_square, [(number,) for number in range(1000)]):
    ...     print(outcome.id, outcome.get())

    Iterating yields an `Outcome` for each task, in the order in which they end; a second iteration begins anew. It
    needs two round trips for what has ended meanwhile, 500 outcomes at most, and one subscription, and it remembers the
    ids that it has yielded. It waits through an outage of Redis, of 30 seconds at most. `async for` does the same on an
    event loop, and does not block it.

    It differs from `concurrent.futures.as_completed` in three things: there is no object for a task that has not ended,
    a process that did not enqueue the tasks may ask too, by `Batch(name)`, and a failed task yields an outcome with an
    error. A task whose message became a dead letter after its workers vanished never ends: give a `timeout`.

    Args:
        name: the name under which they were enqueued, no longer than a day ago.
        enqueued: how many tasks the call that returns this object has enqueued; for `enqueue_many` alone.
        total: how many tasks the batch has; None: as many as Redis knows.
        results_ignored: whether workers store no results of them.
    """

    def __init__(
        self, name: str, *, enqueued: int = 0, total: int | None = None, results_ignored: bool = False
    ) -> None:
        self.name = checked_name(name)
        self.enqueued = enqueued
        self._total, self._ignored = total, results_ignored
        self._group = batches.group_of(name)

    def __repr__(self) -> str:
        return f"<Batch {self.name!r}>" if self._total is None else f"<Batch {self.name!r}: {self._total:,} tasks>"

    def __len__(self) -> int:
        """How many tasks the batch has: one round trip, unless `enqueue_many` has just returned it."""
        if self._total is not None:
            return self._total
        keys = self._keys
        return through_outages(lambda: int(app.backend.client.scard(keys.sent)))

    def __bool__(self) -> bool:
        return True  # a batch is there, also one without tasks

    @property
    def _keys(self) -> batches.Keys:
        return batches.keys_of(app.backend, self._group)

    def done(self) -> int:
        """Return how many tasks have ended: one round trip."""
        keys = self._keys
        return through_outages(lambda: int(app.backend.client.zcard(keys.ended)))

    def __iter__(self) -> Iterator[Outcome]:
        return self.outcomes()

    def outcomes(self, timeout: float | None = None) -> Iterator[Outcome]:
        """Yield the outcome of each task as it ends.

        Args:
            timeout: seconds from now; None: for ever.

        Raises:
            celery.exceptions.TimeoutError: the time is over.
            kombu.exceptions.OperationalError: Redis has not answered for 30 seconds, or refuses.
            RuntimeError: the tasks' results are ignored.
        """
        self._refuse_ignored()
        return self._outcomes(_Deadline(self, timeout))

    def _outcomes(self, deadline: "_Deadline") -> Iterator[Outcome]:
        cursor, yielded = Cursor(app.backend, self._group), 0
        with Subscription(app.backend, cursor.keys.channel) as subscription:
            while yielded < len(self):
                found = read(app.backend, cursor)
                for outcome in found:
                    yielded += 1
                    yield outcome
                if not found:
                    subscription.wait(deadline.left(yielded))

    def __aiter__(self) -> AsyncIterator[Outcome]:
        return self.aoutcomes()

    def aoutcomes(self, timeout: float | None = None) -> AsyncIterator[Outcome]:
        """Yield the outcome of each task as it ends, on an event loop; otherwise as `outcomes`."""
        self._refuse_ignored()
        return self._aoutcomes(_Deadline(self, timeout))

    async def _aoutcomes(self, deadline: "_Deadline") -> AsyncIterator[Outcome]:
        cursor, yielded = Cursor(app.backend, self._group), 0
        async with following_async.Reader(cursor) as reader:
            total = await reader.size() if self._total is None else self._total
            while yielded < total:
                found = await reader.read()
                for outcome in found:
                    yielded += 1
                    yield outcome
                if not found:
                    await reader.wait(deadline.left(yielded))
                if yielded >= total and self._total is None:
                    total = await reader.size()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until all tasks have ended, and read no result.

        Args:
            timeout: seconds; None: for ever.

        Raises:
            celery.exceptions.TimeoutError: the time is over.
            kombu.exceptions.OperationalError: Redis has not answered for 30 seconds, or refuses.
            RuntimeError: the tasks' results are ignored.
        """
        self._refuse_ignored()
        deadline, cursor = _Deadline(self, timeout), Cursor(app.backend, self._group)
        with Subscription(app.backend, cursor.keys.channel) as subscription:
            while (done := self.done()) < len(self):
                if not cursor.ended(through_outages(lambda: cursor.next_ids(app.backend.client))):
                    subscription.wait(deadline.left(done))

    def forget(self) -> None:
        """Remove the results of all tasks that have ended, and what Redis keeps of the batch.

        The same name then stands for a new batch. Tasks that have not ended run on.
        """
        keys, backend = self._keys, app.backend

        def forget() -> None:
            while ids := backend.client.zrange(keys.ended, 0, READ_MAX - 1):
                names = [id.decode() for id in ids]
                backend.client.delete(*(backend.get_key_for_task(id) for id in names))
                backend.client.zrem(keys.ended, *ids)
            backend.client.delete(keys.sent, keys.ended, keys.awaited)

        through_outages(forget)

    def _refuse_ignored(self) -> None:
        if self._ignored:
            raise RuntimeError(
                f"the results of batch {self.name!r} are ignored: enqueue it with ignore_result=False to wait for them"
            )


class _Deadline:
    """When a wait ends."""

    def __init__(self, batch: Batch, timeout: float | None) -> None:
        self._batch, self._timeout = batch, timeout
        self._until = None if timeout is None else time.monotonic() + timeout

    def left(self, done: int) -> float:
        """Return how many seconds to wait for a message. Raises TimeoutError if the time is over."""
        if self._until is None:
            return ENDS_LOOK_EVERY
        left = self._until - time.monotonic()
        if left <= 0:
            raise celery.exceptions.TimeoutError(
                f"after {self._timeout:g} s, {done:,} tasks of batch {self._batch.name!r} have ended, others have not"
            )
        return min(left, ENDS_LOOK_EVERY)
