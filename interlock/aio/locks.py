"""`Lock`, `RLock`, `RWLock`, the semaphores and `Condition` for coroutines."""

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar

from interlock import condition, lock, rwlock, semaphore
from interlock._arguments import checked_name, foreign_lock
from interlock._io.deadline import Deadline
from interlock.aio._driver import (
    Client,
    Coroutines,
    awaiting,
    blocking_client,
    coroutine,
    coroutine_function,
    running,
    standing_in,
)

Found = TypeVar("Found")


class _Entered:
    """What `async with` acquires and releases."""

    @coroutine_function
    def __aenter__(self) -> Coroutine[Any, Any, bool]:
        return self.acquire()  # type: ignore[attr-defined, no-any-return]

    @coroutine_function
    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Coroutine[Any, Any, None]:
        return self.release()  # type: ignore[attr-defined, no-any-return]


class _Lock(_Entered, Coroutines[lock._BaseLock]):
    acquire = awaiting(lock._BaseLock.acquire)
    release = awaiting(lock._BaseLock.release, whole=True)
    locked = awaiting(lock._BaseLock.locked)
    break_lock = awaiting(lock._BaseLock.break_lock)
    statistics = awaiting(lock._BaseLock.statistics)

    @property
    def token(self) -> int | None:
        """The fencing token of the hold, as `interlock.Lock.token`."""
        return self._mine(lambda: self._twin.token)

    @property
    def deadline(self) -> float | None:
        """The time when the lease ends, as `interlock.Lock.deadline`."""
        return self._mine(lambda: self._twin.deadline)

    @property
    def lost(self) -> bool:
        """Whether the last lease was lost, as `interlock.Lock.lost`."""
        return self._mine(lambda: self._twin.lost)


class Lock(_Lock):
    """`interlock.Lock` for coroutines: it and the lock of that name for threads, on any machine, are one lock.

    >>> import asyncio, interlock.aio
    >>> async def main():
    ...     lock = interlock.aio.Lock(name="report")
    ...     async with lock:
    ...         return await lock.locked()
    >>> asyncio.run(main())
    True

    A coroutine that is cancelled while it waits leaves the wait queue. Differs from `asyncio.Lock` as `interlock.Lock`
    does from `threading.Lock`: here, too, any coroutine or thread of the process that holds the lock may release it.

    Args:
        client: a `redis.asyncio.Redis` or `redis.asyncio.RedisCluster`; None: from `REDIS_URL`.
            Copies keep it, pickles cannot.
        name, lease: as in `interlock.Lock`.
    """

    kind = "aio.Lock"
    blocking = lock.Lock

    def __init__(self, *, name: str | None = None, client: Client | None = None, lease: float = 30.0) -> None:
        super().__init__(lock.Lock(name=name, client=blocking_client(client), lease=lease), client)


class RLock(_Lock):
    """`interlock.RLock` for coroutines: its owner is an `asyncio.Task`, and may acquire it again. asyncio has none.

    A call inside `asyncio.wait_for` belongs to the caller of `wait_for`, also on Python 3.11, where `wait_for` makes a
    task of it. Only the owner may release the lock. When the owner has ended, any coroutine of its process may release
    it, as after an `async` fixture, but none of these may enter it as if it were the owner.

    Arguments as in `Lock`.
    """

    kind = "aio.RLock"
    blocking = lock.RLock

    acquire = awaiting(lock.RLock.acquire)
    release = awaiting(lock.RLock.release, whole=True)

    def __init__(self, *, name: str | None = None, client: Client | None = None, lease: float = 30.0) -> None:
        super().__init__(lock.RLock(name=name, client=blocking_client(client), lease=lease), client)


def around(twin: lock.Lock | lock.RLock, client: Client | None) -> Lock | RLock:
    """Return the lock for coroutines that has this twin."""
    made = (Lock if isinstance(twin, lock.Lock) else RLock)(name=twin.name, client=client, lease=twin.lease)
    made._twin = twin
    return made


class RWLockSide(_Lock):
    """The lock of an RWLock that readers take, or that writers take."""

    kind = "aio.RWLockSide"
    blocking = rwlock.Side

    acquire = awaiting(rwlock.Side.acquire)
    statistics = awaiting(rwlock.Side.statistics)


class RWLock(Coroutines[rwlock.RWLock]):
    """`interlock.RWLock` for coroutines: `async with prices.reader:`, `async with prices.writer:`.

    Arguments as in `Lock`.
    """

    kind = "aio.RWLock"
    blocking = rwlock.RWLock

    break_lock = awaiting(rwlock.RWLock.break_lock)
    statistics = awaiting(rwlock.RWLock.statistics)

    def __init__(self, *, name: str | None = None, client: Client | None = None, lease: float = 30.0) -> None:
        super().__init__(rwlock.RWLock(name=name, client=blocking_client(client), lease=lease), client)

    @property
    def reader(self) -> RWLockSide:
        """The lock that readers take."""
        return RWLockSide(self._twin.reader, self._source)

    @property
    def writer(self) -> RWLockSide:
        """The lock that writers take."""
        return RWLockSide(self._twin.writer, self._source)


class Semaphore(_Entered, Coroutines[semaphore.Semaphore]):
    """`interlock.Semaphore` for coroutines.

    >>> import asyncio, interlock.aio
    >>> async def main():
    ...     async with interlock.aio.Semaphore(3, name="printers") as held:
    ...         return held
    >>> asyncio.run(main())
    True

    Args:
        client: a `redis.asyncio.Redis` or `redis.asyncio.RedisCluster`; None: from `REDIS_URL`.
            Copies keep it, pickles cannot.
        value, name, lease, ttl: as in `interlock.Semaphore`.
    """

    kind = "aio.Semaphore"
    blocking = semaphore.Semaphore

    acquire = awaiting(semaphore.Semaphore.acquire)
    release = awaiting(semaphore.Semaphore.release, whole=True)
    unlink = awaiting(semaphore.Semaphore.unlink)
    statistics = awaiting(semaphore.Semaphore.statistics)

    def __init__(
        self,
        value: int = 1,
        *,
        name: str | None = None,
        client: Client | None = None,
        lease: float = 30.0,
        ttl: float | None = None,
    ) -> None:
        twin = self.blocking(value, name=name, client=blocking_client(client), lease=lease, ttl=ttl)
        super().__init__(twin, client)


class BoundedSemaphore(Semaphore):
    """`interlock.BoundedSemaphore` for coroutines. Arguments as in `Semaphore`."""

    kind = "aio.BoundedSemaphore"
    blocking = semaphore.BoundedSemaphore

    release = awaiting(semaphore.BoundedSemaphore.release, whole=True)


class Condition(_Entered, Coroutines[condition.Condition]):
    """`interlock.Condition` for coroutines.

    As in asyncio, a coroutine that is cancelled while it waits takes the lock again before it gets the
    `CancelledError`.

    Args:
        lock: the `interlock.aio.Lock` or `RLock` to wait under; None: an RLock of its own.
        client: a `redis.asyncio.Redis` or `redis.asyncio.RedisCluster`, for a lock of its own; None: from `REDIS_URL`.
        name, lease: as in `interlock.Condition`.
    """

    kind = "aio.Condition"
    blocking = condition.Condition

    wait = awaiting(condition.Condition.wait)
    notify = awaiting(condition.Condition.notify)
    notify_all = awaiting(condition.Condition.notify_all)
    statistics = awaiting(condition.Condition.statistics)

    def __init__(
        self,
        lock: Lock | RLock | None = None,
        *,
        name: str | None = None,
        client: Client | None = None,
        lease: float = 30.0,
    ) -> None:
        name = checked_name(name)
        if lock is None:
            lock = RLock(name=name, client=client, lease=lease)
        elif not isinstance(lock, Lock | RLock):
            raise foreign_lock(lock, "None, an interlock.aio.Lock or an interlock.aio.RLock", condition.WHY_OURS)
        twin = condition.Condition(lock._twin, name=name)  # type: ignore[arg-type]
        super().__init__(twin, lock._source)

    @property
    def _lock(self) -> Lock | RLock:
        return around(self._twin._lock, self._source)

    @coroutine_function
    def acquire(self, blocking: bool = True, timeout: float = -1) -> Coroutine[Any, Any, bool]:
        """Acquire the lock, as its own `acquire` does."""
        return self._lock.acquire(blocking, timeout)

    @coroutine_function
    def release(self) -> Coroutine[Any, Any, None]:
        """Release the lock, as its own `release` does."""
        return self._lock.release()

    @coroutine_function
    def wait_for(
        self, predicate: Callable[[], Found | Awaitable[Found]], timeout: float | None = None
    ) -> Coroutine[Any, Any, Found]:
        """Wait as `interlock.Condition.wait_for` does; the predicate may be a coroutine function."""
        return self._wait_for(running(), predicate, timeout)

    async def _wait_for(
        self, called_by: Any, predicate: Callable[[], Found | Awaitable[Found]], timeout: float | None
    ) -> Found:
        deadline = Deadline(timeout)
        with standing_in(coroutine(called_by)):
            while True:
                found = predicate()
                if inspect.isawaitable(found):
                    found = await found
                if found or deadline.over:
                    return found
                await self.wait(deadline.left)
