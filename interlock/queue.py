"""`Queue`, `JoinableQueue` and `SimpleQueue`: first in, first out, between processes on any machine."""

import queue
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from interlock._arguments import checked_count, checked_ttl, checked_wait
from interlock._io.steps import Steps
from interlock._io.wire import Client
from interlock._primitive import Primitive, blocking, steps_of, who, without_result
from interlock._protocol import codec, queue_scripts, scripts
from interlock._protocol.queue_scripts import Answer
from interlock._protocol.scripts import Resource
from interlock._session.session import Session
from interlock.errors import InterlockError

MAXSIZE_MAX = 2**31 - 1  # items: as multiprocessing's on Linux


@dataclass(frozen=True)
class QueueStatistics:
    """A look at a queue, as Redis saw it at one moment."""

    kind: str
    name: str
    size: int  # items in it
    maxsize: int  # items that it may hold; 0: no bound
    unfinished: int  # items of a JoinableQueue that were put and for which task_done was not called yet
    getters: tuple[str, ...]  # who waits for an item: host:pid and task, in order of arrival
    putters: tuple[str, ...]  # who waits for room, likewise


def _leave(resource: Resource) -> Callable[[str], Steps[Answer | None]]:
    return lambda attempt: queue_scripts.leave(resource, id=attempt)


def put_item(session: Session, resource: Resource, item: str, timeout: float | None) -> Steps[int]:
    """Append an encoded item: DONE, BUSY when the time is over; of a Pipe also BROKEN or GONE."""
    yield from session.lingering.commit_all()
    arrival = ""

    def ask(id: str) -> Steps[Answer | None]:
        nonlocal arrival
        answer = yield from queue_scripts.put(resource, id=id, wait=timeout != 0, arrival=arrival, item=item)
        if answer.code == scripts.QUEUED:
            arrival = answer.text
            return None
        return answer

    answer = yield from session.polling.answered(ask, _leave(resource), timeout)
    return answer.code if answer else scripts.BUSY


def get_item(
    session: Session, resource: Resource, timeout: float | None, *, take: bool = True, pickles: bool = False
) -> Steps[Answer]:
    """Take an encoded item, or wait until there is one: DONE, BUSY when the time is over; of a Pipe also ENDED, GONE.

    Raises:
        InterlockError: the next item is pickled, and the caller did not ask for such. It stays where it is.
    """
    arrival = ""

    def ask(id: str) -> Steps[Answer | None]:
        nonlocal arrival
        answer = yield from queue_scripts.get(
            resource, id=id, wait=timeout != 0, arrival=arrival, take=take, pickles=pickles
        )
        if answer.code == scripts.QUEUED:
            arrival = answer.text
            return None
        return answer

    undo = (lambda attempt: queue_scripts.give_back(resource, id=attempt)) if take else None
    answer = yield from session.polling.answered(ask, _leave(resource), timeout, undo)
    if answer and answer.code == scripts.BROKEN:
        raise InterlockError(
            f"the next item of {resource.kind} {resource.name!r} is pickled: to unpickle what "
            "its writers send, ask for pickle=True"
        )
    return answer or Answer(scripts.BUSY)


class _BaseQueue(Primitive):
    """What all three share."""

    maxsize = 0

    def __init__(self, name: str | None, client: Client | None, ttl: float | None, pickle: bool) -> None:
        super().__init__(name, client)
        self.ttl = checked_ttl(ttl, named=name is not None)
        if not isinstance(pickle, bool):
            raise TypeError(f"pickle must be True or False, not {type(pickle).__name__}")
        self.pickle = pickle
        self._closed = False

    @property
    def _resource(self) -> Resource:
        ttl_ms = None if self.ttl is None else round(self.ttl * 1000)
        return self._session.resource(self.kind, self.name, self.maxsize, ttl_ms)

    def parameters(self) -> dict[str, Any]:
        return {"name": self.name, "ttl": self.ttl}

    @classmethod
    def attached(cls, **parameters: Any) -> Self:
        """The object that these parameters name. Creates nothing in Redis, and unpickles nothing, whoever sent them."""
        return cls(**parameters, pickle=False)

    def _put(self, obj: Any, timeout: float | None) -> Steps[bool]:
        item = codec.encode(obj, pickles=self.pickle)
        return (yield from put_item(self._session, self._resource, item, timeout)) == scripts.DONE

    def _get(self, timeout: float | None) -> Steps[Answer]:
        return get_item(self._session, self._resource, timeout, pickles=self.pickle)

    @blocking
    def qsize(self) -> Steps[int]:
        """How many items are in it. One round trip."""
        yield from self._session.checked()
        return int((yield ("LLEN", queue_scripts.items_key(self._resource))))

    @blocking
    def empty(self) -> Steps[bool]:
        """Whether no item is in it. One round trip; another process may change that at any moment."""
        return (yield from steps_of(self.qsize)()) == 0

    @blocking
    def unlink(self) -> Steps[None]:
        """Delete it with all that it holds. Used again, it begins empty; who waits goes on waiting."""
        yield from self._session.checked()
        yield ("DEL", *queue_scripts.keys(self._resource))

    @blocking
    def statistics(self) -> Steps[QueueStatistics]:
        """What it holds and who waits, in order. One round trip; grows with what it reports."""
        yield from self._session.checked()
        found = yield from queue_scripts.look(self._resource)
        getters, putters = (tuple(who(id) for id in ids) for ids in (found.getters, found.putters))
        return QueueStatistics(self.kind, self.name, found.size, self.maxsize, found.unfinished, getters, putters)

    def __repr__(self) -> str:
        closed = " closed" if self._closed else ""
        return f"<interlock.{self.kind} {self.name!r}{closed}>"


class Queue(_BaseQueue):
    """Items that some processes put and others get, first in, first out; `multiprocessing.Queue` between machines.

    >>> import interlock
    >>> jobs = interlock.Queue(maxsize=2)
    >>> jobs.put({"page": 1})
    >>> jobs.put(b"raw")
    >>> jobs.full(), jobs.get(), jobs.get(), jobs.empty()
    (True, {'page': 1}, b'raw', True)

    Differs from `multiprocessing.Queue`: it has a name, and all queues of one name are one, made with one maxsize. An
    item is **JSON or bytes**, not a pickle: tuples arrive as lists, keys of dicts as str; other things raise
    `TypeError`. There is no feeder thread: when `put` returns the item is in the queue, and what cannot be put is said
    by `put`. Who asks first is served first, on both sides. `qsize` works everywhere. A queue is not garbage-collected:
    what it holds stays after all processes have ended.

    With `pickle=True` items are pickled, as there, and **unpickling runs what the writer wants**: ask for it only where
    you trust all who can write to that Redis. Each reader asks for itself: one that did not raises `InterlockError`,
    and the item stays where it is. So `pickle` does not travel with the object: make it anew, by name, on arrival.

    A process that dies while it waits loses nothing and delays nobody; if its machine dies, or it is stopped, others
    are delayed by two seconds, and by six at most if many of its threads waited. An item that a process got and did not
    finish is lost with it, as there. If an exception such as `KeyboardInterrupt` strikes `get` while an item is on its
    way, the item is the first in the queue again.

    Args:
        maxsize: how many items it may hold; 0 or less: no bound.
        name: None: a fresh unique one.
        client: a `redis.Redis` or `redis.cluster.RedisCluster`; None: from `REDIS_URL`. Copies keep it, pickles cannot.
        ttl: seconds without use after which items are forgotten, 1 to a year; None: never if it has a name (until
            `unlink`), else a day. An empty queue leaves Redis after a day.
        pickle: True: pickle what is put, and unpickle what is got.

    Costs one round trip to put and one to get; who waits has its item one and a half after the put reaches Redis.
    Who waits asks again once a second, a putter with its item. What was got is kept for ten minutes, the last of each
    thread that gets, so that a reply that is lost can be sent again.
    """

    kind = "Queue"

    def __init__(
        self,
        maxsize: int = 0,
        *,
        name: str | None = None,
        client: Client | None = None,
        ttl: float | None = None,
        pickle: bool = False,
    ) -> None:
        super().__init__(name, client, ttl, pickle)
        maxsize = checked_count("maxsize", maxsize)
        if maxsize > MAXSIZE_MAX:
            raise ValueError(f"maxsize must be at most {MAXSIZE_MAX}, or 0 for no bound, not {maxsize}")
        self.maxsize = max(0, maxsize)

    def parameters(self) -> dict[str, Any]:
        return {"maxsize": self.maxsize, **super().parameters()}

    @without_result
    @blocking
    def put(self, obj: Any, block: bool = True, timeout: float | None = None) -> Steps[None]:
        """Append an item, after all who wait for room.

        Args:
            obj: JSON or bytes, at most 1 MiB; anything that pickles if the queue was made with `pickle=True`.
            block: False: one try, without waiting; `timeout` is ignored then, as in `multiprocessing`.
            timeout: how long to wait for room, in seconds; None: for ever.

        Raises:
            queue.Full: there was no room in time.
            TypeError: JSON cannot hold it.
            ValueError: it is too large, or this object was closed.
            NameTakenError: the name stands for another kind of thing, or has another maxsize.
            UnreachableError: no Redis answers. If the connection is lost on the way, and cannot be had again
                (`redis.ConnectionError`), the item may be in or not.
        """
        if not (yield from self._put(obj, self._wait(block, timeout))):
            raise queue.Full

    @blocking
    def get(self, block: bool = True, timeout: float | None = None) -> Steps[Any]:
        """Take the oldest item, after all who wait for one.

        Args:
            block: False: one try, without waiting; `timeout` is ignored then, as in `multiprocessing`.
            timeout: how long to wait, in seconds; None: for ever.

        Raises:
            queue.Empty: there was no item in time.
            InterlockError: the next item is pickled, and this object was not made with `pickle=True`. It stays.
            ValueError: this object was closed.
            NameTakenError, UnreachableError: as in `put`; likewise, an item may have been taken, and is lost then.
        """
        answer = yield from self._get(self._wait(block, timeout))
        if answer.code != scripts.DONE:
            raise queue.Empty
        return codec.decode(answer.text)

    @without_result
    @blocking
    def put_nowait(self, obj: Any) -> Steps[None]:
        """As `put(obj, False)`."""
        return steps_of(self.put)(obj, False)

    @blocking
    def get_nowait(self) -> Steps[Any]:
        """As `get(False)`."""
        return steps_of(self.get)(False)

    @blocking
    def full(self) -> Steps[bool]:
        """Whether it holds as many items as it may. One round trip; another process may change that at any moment."""
        return self.maxsize > 0 and (yield from steps_of(self.qsize)()) >= self.maxsize

    def close(self) -> None:
        """Use this object no longer to put or get: it raises `ValueError` from now on. Others are not touched."""
        self._closed = True

    def join_thread(self) -> None:
        """Does nothing: there is no feeder thread to wait for."""

    def cancel_join_thread(self) -> None:
        """Does nothing: there is no feeder thread to leave behind."""

    def _wait(self, block: bool, timeout: float | None) -> float | None:
        if self._closed:
            raise ValueError(f"Queue {self!r} is closed")
        return checked_wait(True, timeout, forever=None) if block else 0.0


class JoinableQueue(Queue):
    """A Queue that knows when all its items were worked on; `multiprocessing.JoinableQueue` between machines.

    >>> import interlock
    >>> jobs = interlock.JoinableQueue()
    >>> jobs.put("report")
    >>> jobs.get()
    'report'
    >>> jobs.task_done()
    >>> jobs.join()

    Differs as `Queue` does; arguments as there. What is unfinished is counted and not named, as there: an item whose
    getter died stays unfinished until somebody calls `task_done` for it. The count is kept as items are.
    """

    kind = "JoinableQueue"

    @without_result
    @blocking
    def task_done(self) -> Steps[None]:
        """Say that an item that was got has been worked on. One round trip; the last one wakes all who join.

        Raises:
            ValueError: called more often than items were put.
            NameTakenError, UnreachableError: as in `put`.
        """
        session = self._session
        yield from session.checked()
        call = session.holdings.new_id()
        answer = yield from queue_scripts.done(self._resource, id=call)
        session.holdings.end_id(call)
        if answer.code == scripts.FULL:
            raise ValueError("task_done() called too many times")

    @blocking
    def join(self) -> Steps[None]:
        """Wait until `task_done` was called for every item that was put.

        Once that is so, who waits goes on, also if items are put meanwhile.

        Raises:
            NameTakenError, UnreachableError: as in `put`.
        """
        resource = self._resource

        def ask(id: str) -> Steps[Answer | None]:
            answer = yield from queue_scripts.join(resource, id=id)
            return None if answer.code == scripts.QUEUED else answer

        yield from self._session.polling.answered(ask, _leave(resource), None)


class SimpleQueue(_BaseQueue):
    """A Queue without bound and without time-outs; `multiprocessing.SimpleQueue` between machines.

    >>> import interlock
    >>> queue = interlock.SimpleQueue()
    >>> queue.put([1, 2])
    >>> queue.get(), queue.empty()
    ([1, 2], True)

    Differs from `multiprocessing.SimpleQueue` as `Queue` does from `multiprocessing.Queue`; arguments as there. `put`
    never waits: there, a full pipe makes it.
    """

    kind = "SimpleQueue"

    def __init__(
        self,
        *,
        name: str | None = None,
        client: Client | None = None,
        ttl: float | None = None,
        pickle: bool = False,
    ) -> None:
        super().__init__(name, client, ttl, pickle)

    @without_result
    @blocking
    def put(self, obj: Any) -> Steps[None]:
        """Append an item. As `Queue.put`; `OSError` if this object was closed."""
        self._check_closed()
        yield from self._put(obj, 0.0)

    @blocking
    def get(self) -> Steps[Any]:
        """Take the oldest item, after all who wait for one. As `Queue.get`; `OSError` if this object was closed."""
        self._check_closed()
        answer = yield from self._get(None)
        return codec.decode(answer.text)

    @blocking
    def empty(self) -> Steps[bool]:
        """Whether no item is in it. One round trip; `OSError` if this object was closed."""
        self._check_closed()
        return (yield from steps_of(super().empty)())

    def close(self) -> None:
        """Use this object no longer: its methods raise `OSError` from now on. Other objects are not touched."""
        self._closed = True

    def _check_closed(self) -> None:
        if self._closed:
            raise OSError(f"{self!r} is closed")
