"""`Event` and `Barrier` for coroutines."""

from collections.abc import Callable

from interlock import barrier, event
from interlock.aio._driver import Client, Coroutines, awaiting, blocking_client


class Event(Coroutines[event.Event]):
    """`interlock.Event` for coroutines.

    >>> import asyncio, interlock.aio
    >>> async def main():
    ...     ready = interlock.aio.Event()
    ...     await ready.set()
    ...     return await ready.wait()
    >>> asyncio.run(main())
    True

    Differs from `asyncio.Event`: the caller awaits all its methods, and `wait` takes a time-out. In all else it differs
    as `interlock.Event` does from `threading.Event`.

    Args:
        client: a `redis.asyncio.Redis` or `redis.asyncio.RedisCluster`; None: from `REDIS_URL`.
            Copies keep it, pickles cannot.
        name, ttl: as in `interlock.Event`.
    """

    kind = "aio.Event"
    blocking = event.Event

    is_set = awaiting(event.Event.is_set)
    set = awaiting(event.Event.set)
    clear = awaiting(event.Event.clear)
    wait = awaiting(event.Event.wait)
    unlink = awaiting(event.Event.unlink)
    statistics = awaiting(event.Event.statistics)

    def __init__(self, *, name: str | None = None, client: Client | None = None, ttl: float | None = None) -> None:
        super().__init__(event.Event(name=name, client=blocking_client(client), ttl=ttl), client)


class Barrier(Coroutines[barrier.Barrier]):
    """`interlock.Barrier` for coroutines.

    The action is a function, as in `interlock.Barrier`. It runs in another thread, so that the event loop stays free. A
    party that is cancelled while it waits breaks the barrier.

    Args:
        client: a `redis.asyncio.Redis` or `redis.asyncio.RedisCluster`; None: from `REDIS_URL`.
            Copies keep it, pickles cannot.
        parties, action, timeout, name, ttl: as in `interlock.Barrier`.
    """

    kind = "aio.Barrier"
    blocking = barrier.Barrier

    wait = awaiting(barrier.Barrier.wait)
    abort = awaiting(barrier.Barrier.abort)
    reset = awaiting(barrier.Barrier.reset)
    unlink = awaiting(barrier.Barrier.unlink)
    statistics = awaiting(barrier.Barrier.statistics)

    def __init__(
        self,
        parties: int,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
        *,
        name: str | None = None,
        client: Client | None = None,
        ttl: float | None = None,
    ) -> None:
        twin = barrier.Barrier(parties, action, timeout, name=name, client=blocking_client(client), ttl=ttl)
        super().__init__(twin, client)

    @property
    def parties(self) -> int:
        """How many parties wait for each other."""
        return self._twin.parties

    async def n_waiting(self) -> int:
        """Return how many parties wait now. One round trip."""
        return len((await self.statistics()).waiters)

    async def broken(self) -> bool:
        """Whether it is broken. One round trip."""
        return (await self.statistics()).broken
