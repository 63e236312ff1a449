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

MAXSIZE_MAX = 2**31 - 1  # items: the same limit as that of multiprocessing on Linux


@dataclass(frozen=True)
class QueueStatistics:
    """A look at a queue, as Redis saw it at one moment."""

    kind: str
    name: str
    size: int  # items in it
    maxsize: int  # items that it may hold; 0: no bound
    unfinished: int  # items put into a JoinableQueue for which no caller has called task_done yet
    getters: tuple[str, ...]  # those who wait for an item: host:pid and task of each, in order of arrival
    putters: tuple[str, ...]  # those who wait for room: host:pid and task of each, in order of arrival


def _leave(resource: Resource) -> Callable[[str], Steps[Answer | None]]:
    return lambda attempt: queue_scripts.leave(resource, id=attempt)


def put_item(session: Session, resource: Resource, item: str, timeout: float | None) -> Steps[int]:
    """Append an encoded item, and return DONE, or BUSY when the time is over; for a Pipe also BROKEN or GONE."""
    yield from session.lingering.commit_all()
    arrival = ""

    def ask(id: str) -> Steps[Answer | None]:
        nonlocal arrival
        answer = yield from queue_scripts.put(resource, id=id, wait=timeout != 0, arrival=arrival, item=item)
        if answer.code == scripts.QUEUED:
            arrival = answer.text
            return None
        return answer

    answer = yield from session.polling.answered(resource.name, ask, _leave(resource), timeout)
    return answer.code if answer else scripts.BUSY


def get_item(
    session: Session, resource: Resource, timeout: float | None, *, take: bool = True, pickles: bool = False
) -> Steps[Answer]:
    """Take an encoded item, or wait until there is one.

    With `take` False the item stays in the queue, and the answer only says that there is one.

    Returns:
        DONE with the item, or BUSY when the time is over; for a Pipe also ENDED or GONE.

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
    answer = yield from session.polling.answered(resource.name, ask, _leave(resource), timeout, undo)
    if answer and answer.code == scripts.BROKEN:
        raise InterlockError(
            f"the next item of {resource.kind} {resource.name!r} is pickled: to unpickle what "
            "its writers send, ask for pickle=True"
        )
    return answer or Answer(scripts.BUSY)


class _BaseQueue(Primitive):
    """The base of the three queues."""

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
        """Return the object that these parameters name. Creates nothing in Redis, and the object unpickles nothing."""
        return cls(**parameters, pickle=False)

    def _put(self, obj: Any, timeout: float | None) -> Steps[bool]:
        item = codec.encode(obj, pickles=self.pickle)
        return (yield from put_item(self._session, self._resource, item, timeout)) == scripts.DONE

    def _get(self, timeout: float | None) -> Steps[Answer]:
        return get_item(self._session, self._resource, timeout, pickles=self.pickle)

    @blocking
    def qsize(self) -> Steps[int]:
        """Return how many items are in it. One round trip."""
        yield from self._session.checked()
        return int((yield ("LLEN", queue_scripts.items_key(self._resource))))

    @blocking
    def empty(self) -> Steps[bool]:
        """Whether it has no item. One round trip; another process may change that at any moment."""
        return (yield from steps_of(self.qsize)()) == 0

    @blocking
    def unlink(self) -> Steps[None]:
        """Delete it with all its items. At its next use it begins empty; callers that wait go on waiting."""
        yield from self._session.checked()
        yield ("DEL", *queue_scripts.keys(self._resource))

    @blocking
    def statistics(self) -> Steps[QueueStatistics]:
        """Return how many items it has and who waits, in order. One round trip; it grows with the number of waiters."""
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

    Differs from `multiprocessing.Queue`: it has a name, and all queues of one name are one, and programs make them with
    one maxsize. An item is **JSON or bytes**, not a pickle: a tuple arrives as a list, a key of a dict as a str, and
    any other object raises `TypeError`. There is no feeder thread: when `put` returns, the item is in the queue, and
    `put` itself raises the error of an item that it cannot put. The caller that asked first is served first, on both
    sides. `qsize` works on every system. Interlock does not garbage-collect a queue: its items stay in Redis after all
    processes have ended.

    With `pickle=True` the queue pickles items, as `multiprocessing` does, and **unpickling runs what the writer
    wants**: ask for it only where you trust everybody who can write to that Redis. Each reader asks for itself: the
    `get` of a reader that did not ask raises `InterlockError`, and the item stays where it is. So `pickle` does not
    travel with the object: make the object anew, by name, where it arrives.

    A process that dies while it waits loses no item and delays no other process. If its machine dies, or the process is
    stopped, it delays others by two seconds, and by six at most if many of its threads waited. An item that a process
    got and did not finish is lost with the process, as with `multiprocessing`. If an exception such as
    `KeyboardInterrupt` strikes `get` while an item is on its way, the item becomes the first in the queue again.

    Args:
        maxsize: how many items it may hold; 0 or less: no bound.
        name: None: a fresh unique one.
        client: a `redis.Redis` or `redis.cluster.RedisCluster`; None: from `REDIS_URL`. Copies keep it, pickles cannot.
        ttl: seconds without use after which Redis forgets the items, 1 to a year; None: never if it has a name (until
            `unlink`), else a day. An empty queue leaves Redis after a day.
        pickle: True: pickle each item that is put, and unpickle each that is got.

    Costs one round trip to put and one to get. A waiting getter has its item one and a half round trips after the put
    reaches Redis. A waiter asks again once a second, and a putter sends its item each time. For each thread that gets,
    Redis keeps the last item for ten minutes, so that it can send a lost reply again.
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
        """Append an item, after the items of all callers that wait for room already.

        Args:
            obj: JSON or bytes, at most 1 MiB; anything that pickles if the queue was made with `pickle=True`.
            block: False: the call tries once, does not wait, and ignores `timeout`, as in `multiprocessing`.
            timeout: how long to wait for room, in seconds; None: for ever.

        Raises:
            queue.Full: there was no room in time.
            TypeError: JSON cannot hold the item.
            ValueError: the item is too large, or this object was closed.
            NameTakenError: the name belongs to another kind of thing, or to a queue of another maxsize.
            UnreachableError: no Redis answers. If the connection breaks on the way, and the client cannot connect again
                (`redis.ConnectionError`), the item may be in the queue or not.
        """
        if not (yield from self._put(obj, self._wait(block, timeout))):
            raise queue.Full

    @blocking
    def get(self, block: bool = True, timeout: float | None = None) -> Steps[Any]:
        """Take the oldest item, after all callers that wait for one already.

        Args:
            block: False: the call tries once, does not wait, and ignores `timeout`, as in `multiprocessing`.
            timeout: how long to wait, in seconds; None: for ever.

        Raises:
            queue.Empty: there was no item in time.
            InterlockError: the next item is pickled, and this object was not made with `pickle=True`. The item stays in
                the queue.
            ValueError: this object was closed.
            NameTakenError, UnreachableError: as in `put`. If the connection breaks on the way, the call may have taken
                an item, which is lost then.
        """
        answer = yield from self._get(self._wait(block, timeout))
        if answer.code != scripts.DONE:
            raise queue.Empty
        return codec.decode(answer.text)

    @without_result
    @blocking
    def put_nowait(self, obj: Any) -> Steps[None]:
        """Do `put(obj, False)`."""
        return steps_of(self.put)(obj, False)

    @blocking
    def get_nowait(self) -> Steps[Any]:
        """Do `get(False)`."""
        return steps_of(self.get)(False)

    @blocking
    def full(self) -> Steps[bool]:
        """Whether it has as many items as it may. One round trip; another process may change that at any moment."""
        return self.maxsize > 0 and (yield from steps_of(self.qsize)()) >= self.maxsize

    def close(self) -> None:
        """Have this object raise `ValueError` from now on at each put and get. Other objects of the name go on."""
        self._closed = True

    def join_thread(self) -> None:
        """Do nothing: there is no feeder thread to wait for."""

    def cancel_join_thread(self) -> None:
        """Do nothing: there is no feeder thread to leave behind."""

    def _wait(self, block: bool, timeout: float | None) -> float | None:
        if self._closed:
            raise ValueError(f"Queue {self!r} is closed")
        return checked_wait(True, timeout, forever=None) if block else 0.0


class JoinableQueue(Queue):
    """A Queue that counts the items that are not worked on yet; `multiprocessing.JoinableQueue` between machines.

    >>> import interlock
    >>> jobs = interlock.JoinableQueue()
    >>> jobs.put("report")
    >>> jobs.get()
    'report'
    >>> jobs.task_done()
    >>> jobs.join()

    Differs from its twin as `Queue` does; arguments as in `Queue`. As in `multiprocessing`, it counts unfinished items
    and does not name them: an item whose getter died stays unfinished until some caller calls `task_done` for it. Redis
    keeps the count for as long as it keeps items.
    """

    kind = "JoinableQueue"

    @without_result
    @blocking
    def task_done(self) -> Steps[None]:
        """Say that the caller has worked on an item that it got. One round trip; the last one wakes all that join.

        Raises:
            ValueError: callers called it more often than they put items.
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
        """Wait until callers have called `task_done` for every item that was put.

        Once that is so, the waiting caller goes on, also if other callers put items meanwhile.

        Raises:
            NameTakenError, UnreachableError: as in `put`.
        """
        resource = self._resource

        def ask(id: str) -> Steps[Answer | None]:
            answer = yield from queue_scripts.join(resource, id=id)
            return None if answer.code == scripts.QUEUED else answer

        yield from self._session.polling.answered(resource.name, ask, _leave(resource), None)


class SimpleQueue(_BaseQueue):
    """A Queue without bound and without time-outs; `multiprocessing.SimpleQueue` between machines.

    >>> import interlock
    >>> queue = interlock.SimpleQueue()
    >>> queue.put([1, 2])
    >>> queue.get(), queue.empty()
    ([1, 2], True)

    Differs from `multiprocessing.SimpleQueue` as `Queue` does from `multiprocessing.Queue`; arguments as in `Queue`.
    `put` never waits, while in `multiprocessing` it waits when the pipe is full.
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
        """Append an item, as `Queue.put` does; raises `OSError` if this object was closed."""
        self._check_closed()
        yield from self._put(obj, 0.0)

    @blocking
    def get(self) -> Steps[Any]:
        """Take the oldest item, as `Queue.get` does without a timeout; raises `OSError` if this object was closed."""
        self._check_closed()
        answer = yield from self._get(None)
        return codec.decode(answer.text)

    @blocking
    def empty(self) -> Steps[bool]:
        """Whether it has no item. One round trip; raises `OSError` if this object was closed."""
        self._check_closed()
        return (yield from steps_of(super().empty)())

    def close(self) -> None:
        """Have `put`, `get` and `empty` of this object raise `OSError` from now on. Other objects of the name go on."""
        self._closed = True

    def _check_closed(self) -> None:
        if self._closed:
            raise OSError(f"{self!r} is closed")
