"""`Queue`, `JoinableQueue`, `SimpleQueue` and `Pipe` for coroutines."""

from types import TracebackType
from typing import Self

from interlock import pipe, queue
from interlock.aio._driver import Client, Coroutines, Twin, awaiting, blocking_client


class _BaseQueue(Coroutines[Twin]):
    qsize = awaiting(queue._BaseQueue.qsize)
    empty = awaiting(queue._BaseQueue.empty)
    unlink = awaiting(queue._BaseQueue.unlink)
    statistics = awaiting(queue._BaseQueue.statistics)


class Queue(_BaseQueue[queue.Queue]):
    """`interlock.Queue` for coroutines.

    >>> import asyncio, interlock.aio
    >>> async def main():
    ...     jobs = interlock.aio.Queue(maxsize=2)
    ...     await jobs.put({"page": 1})
    ...     return await jobs.get()
    >>> asyncio.run(main())
    {'page': 1}

    A coroutine that is cancelled while it waits leaves the wait queue; an item that was on its way to it becomes the
    first in the queue again. The caller awaits `put_nowait` and `get_nowait` too, because they ask Redis.

    Args:
        client: a `redis.asyncio.Redis` or `redis.asyncio.RedisCluster`; None: from `REDIS_URL`.
            Copies keep it, pickles cannot.
        maxsize, name, ttl, pickle: as in `interlock.Queue`.
    """

    kind = "aio.Queue"
    blocking = queue.Queue

    put = awaiting(queue.Queue.put)
    get = awaiting(queue.Queue.get)
    put_nowait = awaiting(queue.Queue.put_nowait)
    get_nowait = awaiting(queue.Queue.get_nowait)
    full = awaiting(queue.Queue.full)

    def __init__(
        self,
        maxsize: int = 0,
        *,
        name: str | None = None,
        client: Client | None = None,
        ttl: float | None = None,
        pickle: bool = False,
    ) -> None:
        twin = self.blocking(maxsize, name=name, client=blocking_client(client), ttl=ttl, pickle=pickle)
        super().__init__(twin, client)

    @property
    def maxsize(self) -> int:
        """How many items it may hold; 0: no bound."""
        return self._twin.maxsize

    def close(self) -> None:
        """Have this object raise `ValueError` from now on at each put and get."""
        self._twin.close()


class JoinableQueue(Queue):
    """`interlock.JoinableQueue` for coroutines. Arguments as in `Queue`."""

    kind = "aio.JoinableQueue"
    blocking = queue.JoinableQueue

    task_done = awaiting(queue.JoinableQueue.task_done)
    join = awaiting(queue.JoinableQueue.join)


class SimpleQueue(_BaseQueue[queue.SimpleQueue]):
    """`interlock.SimpleQueue` for coroutines. Arguments as in `Queue`, without `maxsize`."""

    kind = "aio.SimpleQueue"
    blocking = queue.SimpleQueue

    put = awaiting(queue.SimpleQueue.put)
    get = awaiting(queue.SimpleQueue.get)
    empty = awaiting(queue.SimpleQueue.empty)

    def __init__(
        self,
        *,
        name: str | None = None,
        client: Client | None = None,
        ttl: float | None = None,
        pickle: bool = False,
    ) -> None:
        twin = queue.SimpleQueue(name=name, client=blocking_client(client), ttl=ttl, pickle=pickle)
        super().__init__(twin, client)

    def close(self) -> None:
        """Have `put`, `get` and `empty` of this object raise `OSError` from now on."""
        self._twin.close()


def Pipe(  # noqa: N802 - the name that multiprocessing gives it
    duplex: bool = True,
    *,
    name: str | None = None,
    client: Client | None = None,
    ttl: float | None = None,
    pickle: bool = False,
) -> tuple["Connection", "Connection"]:
    """Return two connected ends: `interlock.Pipe` for coroutines.

    Args:
        client: a `redis.asyncio.Redis` or `redis.asyncio.RedisCluster`; None: from `REDIS_URL`.
            Copies keep it, pickles cannot.
        duplex: as in `interlock.Pipe`, and so are the arguments below.
        name: the name of the Pipe.
        ttl: in seconds.
        pickle: True: pickle each object that is sent, and unpickle each that is received.
    """
    first, second = pipe.Pipe(duplex, name=name, client=blocking_client(client), ttl=ttl, pickle=pickle)
    return Connection(first, client), Connection(second, client)


class Connection(Coroutines[pipe.Connection]):
    """`interlock.Connection` for coroutines: one end of a Pipe. `Pipe` makes it."""

    kind = "aio.Connection"
    blocking = pipe.Connection

    send = awaiting(pipe.Connection.send)
    send_bytes = awaiting(pipe.Connection.send_bytes)
    recv = awaiting(pipe.Connection.recv)
    recv_bytes = awaiting(pipe.Connection.recv_bytes)
    poll = awaiting(pipe.Connection.poll)
    close = awaiting(pipe.Connection.close)
    unlink = awaiting(pipe.Connection.unlink)
    statistics = awaiting(pipe.Connection.statistics)

    @property
    def closed(self) -> bool:
        """Whether this handle was closed. Does not ask Redis."""
        return self._twin.closed

    @property
    def readable(self) -> bool:
        """Whether this end receives."""
        return self._twin.readable

    @property
    def writable(self) -> bool:
        """Whether this end sends."""
        return self._twin.writable

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
