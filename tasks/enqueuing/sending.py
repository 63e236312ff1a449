"""`enqueue_many`: any number of calls of one task, in chunks, each in one round trip."""

import queue
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from kombu.exceptions import OperationalError

from interlock._session.process import commit
from tasks.celery_app import batches
from tasks.celery_app.base import Task
from tasks.enqueuing.batch import Batch
from tasks.enqueuing.jobs import Job, checked_name, checked_task, jobs
from tasks.enqueuing.messages import Messages, new_name
from tasks.enqueuing.outages import through_outages
from tasks.transport import bulk
from tasks.transport.bulk import Put, Sendable

CHUNK_MAX = 500  # messages in one round trip
CHUNK_BYTES = 1_000_000  # then a chunk is full: what the producer holds in memory, and what one script makes Redis do
CHUNK_SECONDS = 1.0  # then a chunk goes, full or not: arguments may come slowly
ROOM_LOOK_EVERY = 0.1  # seconds between two looks at the length of a queue that is full


class QueueFullError(queue.Full, TimeoutError):
    """A queue stayed full, and did not get shorter."""


def enqueue_many(
    task: Task,
    arguments: Iterable[Sequence[Any] | Mapping[str, Any]],
    *,
    queue: str | None = None,
    name: str | None = None,
    ids: Iterable[str] | None = None,
    queue_max: int | None = 100_000,
    timeout: float | None = 60.0,
    **options: Any,
) -> Batch:
    """Enqueue one task for each item, some seven times as fast as a loop of `task.delay()`, and return the batch.

    >>> batch = enqueue_many(print_square, [(number,) for number in range(1000)])
    >>> sum(each.get()["square"] for each in batch)
    332833500

    Messages go in chunks of 500, a megabyte at most, each in one round trip. No more than a chunk is in memory, so
    `arguments` may be a generator of any length.

    **Enqueuing again.** Redis notes which ids of a batch were enqueued, and leaves out those that it knows. So a chunk
    whose answer was lost is sent again without harm. And if the producer is killed, call `enqueue_many` again with the
    same `name` and the same items in the same order, or with ids of your own in any order: none is enqueued twice.
    Redis forgets the ids a day after the last was enqueued.

    **Errors of use.** If `arguments` is a sequence, such as a list, all of it is checked before anything is sent. Of a
    generator, each chunk is checked before it is sent; an error says how much was enqueued before.

    Args:
        task: a task of this app.
        arguments: for each call a tuple of arguments, as `(10,)`, or a dict of named ones.
        queue: `cpu`, `io` or `aio`; None: the task's own.
        name: the name of the batch; None: a new one. Calls with one name make one batch.
        ids: an id for each call, in the order of the items, 1 to 200 characters; None: the batch's name and the item's
            position. An id that comes twice is enqueued once.
        queue_max: wait while the queue has this many messages, 1 or more; None: do not wait. Each priority counts by
            itself, and delayed tasks do not count.
        timeout: how many seconds a full queue may stay as long as it is; None: for ever.
        **options: `countdown`, `eta`, `expires`, `headers`, `ignore_result`, `link`, `link_error`, `priority`,
            `shadow`, `soft_time_limit`, `time_limit`, as of `apply_async`, for each call.

    Raises:
        TypeError, ValueError: an item, an id or an option is wrong.
        celery.exceptions.QueueNotFound: there is no such queue.
        kombu.exceptions.EncodeError: an argument cannot be sent.
        QueueFullError: the queue was full for `timeout` seconds, and did not get shorter.
        kombu.exceptions.OperationalError: Redis did not answer: for some seconds at the first chunk, for 30 later.
        interlock.UnreachableError: what the caller wrote under a lock that lingers could not be committed.
    """
    checked_task(task)
    name = new_name() if name is None else checked_name(name)
    check_limits(queue_max, timeout)
    messages = Messages(task, batches.group_of(name), {**options, "queue": queue})
    sending = Sending(task, name, messages, queue_max, timeout)
    given = jobs(task, arguments, ids, name)
    with sending.told():
        sending.send(given)
    return Batch(name, enqueued=sending.new, total=sending.known, results_ignored=messages.results_ignored)


def check_limits(queue_max: Any, timeout: Any) -> None:
    """Raise TypeError or ValueError if one of these is no limit."""
    if queue_max is not None and (isinstance(queue_max, bool) or not isinstance(queue_max, int)):
        raise TypeError(f"queue_max must be a whole number of messages, 1 or more, or None, not {queue_max!r:.60}")
    if queue_max is not None and queue_max < 1:
        raise ValueError(f"queue_max must be a whole number of messages, 1 or more, or None, not {queue_max}")
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int | float)):
        raise TypeError(f"timeout must be a number of seconds, or None, not {timeout!r:.60}")
    if timeout is not None and not timeout >= 0:
        raise ValueError(f"timeout must be 0 or more seconds, or None, not {timeout}")


@dataclass
class Sending:
    """One call of `enqueue_many`."""

    task: Task
    name: str
    messages: Messages
    queue_max: int | None = None
    timeout: float | None = None
    made: Callable[[Sendable], None] = lambda _: None
    """Called with each message before it is sent."""
    put: Callable[[str], None] = lambda _: None
    """Called with the id of each task that is on its queue for sure."""
    repeatable: bool = True
    """Whether the caller can send the rest later, by the same name."""
    new: int = 0
    """How many tasks this call has enqueued."""
    known: int | None = None
    """How many tasks the batch has; None: Redis has not said so yet."""
    _chunk: list[tuple[Job, Sendable]] = field(default_factory=list)

    @property
    def so_far(self) -> str:
        """Say how to go on, if anything has been enqueued."""
        if not self.known or not self.repeatable:
            return ""
        return (
            f"; {self.known:,} tasks of batch {self.name!r} are enqueued: with name={self.name!r}, the same call "
            "enqueues the others"
        )

    @contextmanager
    def told(self) -> Iterator[None]:
        """Add to an error how to go on: to the text of an error of use, and as a note to any other."""
        try:
            yield
        except (OperationalError, QueueFullError):
            raise  # these say so
        except (TypeError, ValueError) as error:
            if not (self.so_far and type(error) in (TypeError, ValueError)):
                raise
            error.args = (f"{error}{self.so_far}",)
            raise
        except BaseException as error:
            if self.so_far:
                error.add_note(self.so_far.removeprefix("; "))
            raise

    def send(self, given: Iterable[Job]) -> None:
        """Send the messages of all jobs, chunk by chunk."""
        size, begun, channel = 0, 0.0, None
        for job in given:
            if not self._chunk:
                size, begun = 0, time.monotonic()
                channel = self._ask(lambda channel: channel)
            message = self.messages.made(channel, job)
            self.made(message)
            self._chunk.append((job, message))
            size += message.size
            if len(self._chunk) >= CHUNK_MAX or size >= CHUNK_BYTES or time.monotonic() - begun >= CHUNK_SECONDS:
                self.flush()
        if self._chunk:
            self.flush()

    def flush(self) -> None:
        """Put the chunk on the queue, and wait where the queue has no room for it."""
        commit()  # so the tasks see what the producer wrote under locks that linger
        keys = batches.keys_of(self.task.app.backend, batches.group_of(self.name))
        while self._chunk:
            messages = [message for _, message in self._chunk]
            done: Put = self._ask(
                lambda channel, messages=messages: bulk.put_many(
                    channel, messages, keys.sent, batches.KEPT, self.queue_max
                )
            )
            for job, _ in self._chunk[: done.done]:
                self.put(job.id)
                self.messages.tell_of(job)
            del self._chunk[: done.done]
            self.new += done.new
            self.known = done.known
            if self._chunk:
                self._wait_for_room(self._chunk[0][1], done.waiting)

    def _wait_for_room(self, message: Sendable, waiting: int) -> None:
        """Wait until the queue of a message has room for one at least."""
        most = self.queue_max or 0
        shortest, since = waiting, time.monotonic()
        while waiting >= most:
            if self.timeout is not None and time.monotonic() - since >= self.timeout:
                raise QueueFullError(
                    f"queue {message.queue!r} has {waiting:,} messages, at most {most:,} are allowed, and for "
                    f"{self.timeout:g} s it did not get shorter: look with `python -m workers status` whether a worker "
                    f"serves it, or allow more with queue_max={self.so_far}"
                )
            time.sleep(ROOM_LOOK_EVERY)
            waiting = self._ask(lambda channel: bulk.waiting(channel, message))
            if waiting < shortest:
                shortest, since = waiting, time.monotonic()

    def _ask(self, ask: Any) -> Any:
        def with_channel() -> Any:
            with self.task.app.producer_or_acquire() as producer, producer.connection._reraise_as_library_errors():
                producer.maybe_declare(self.messages.queue)
                return ask(producer.channel)

        return through_outages(with_channel, self.so_far, patient=self.known is not None)
