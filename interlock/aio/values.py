"""`Value`, `RawValue`, `Array` and `RawArray` for coroutines."""

import asyncio
from collections.abc import Callable, Generator, Sequence
from typing import Any, NoReturn, Self, TypeVar

from interlock import _shared, array, value
from interlock._arguments import foreign_lock
from interlock._io.steps import Steps
from interlock.aio._driver import Client, Coroutines, Twin, awaiting, blocking_client
from interlock.aio.locks import Lock, RLock, _Entered, around

GuardedTwin = TypeVar("GuardedTwin", bound=_shared.Guarded)


class _Shared(Coroutines[Twin]):
    """A value or an array, created in Redis at its first use or when awaited: await it before you pass it on."""

    unlink = awaiting(_shared.Shared.unlink)
    _create: Callable[[], Steps[None]] | None = None

    def __init__(self, twin: Twin, client: Client | None, create: Callable[[], Steps[None]]) -> None:
        super().__init__(twin, client)
        self._create = create
        self._creating = asyncio.Lock()

    def __copy__(self) -> Self:
        made = super().__copy__()
        made._creating = asyncio.Lock()  # a new one, for the loop that uses the copy
        return made

    def __await__(self) -> Generator[Any, None, Self]:
        return self._itself().__await__()

    async def _itself(self) -> Self:
        await self._first()
        return self

    async def _first(self) -> None:
        if self._create is None:
            return
        async with self._creating:
            if self._create is not None:
                await self._take(self._create())
                self._create = None


class _Guarded(_Entered, _Shared[GuardedTwin]):
    """A value or an array that a lock guards."""

    acquire = awaiting(_shared.Guarded.acquire)
    release = awaiting(_shared.Guarded.release, whole=True)
    unlink = awaiting(_shared.Guarded.unlink)

    def get_obj(self) -> NoReturn:
        """Raise TypeError, as `interlock.Value.get_obj` does."""
        self._twin.get_obj()

    def get_lock(self) -> Lock | RLock:
        """Return the lock that guards it."""
        return around(self._twin.get_lock(), self._source)


class RawValue(_Shared[value.RawValue]):
    """`interlock.RawValue` for coroutines: `await raw.get()`, `await raw.set(5)`.

    Its first use creates it in Redis, and so does an await of the object:
    `raw = await interlock.aio.RawValue("i", 0, name="raw")`. Until then it does not notice a name that belongs to
    something else.

    Args:
        client: a `redis.asyncio.Redis` or `redis.asyncio.RedisCluster`; None: from `REDIS_URL`.
            Copies keep it, pickles cannot.
        typecode_or_type, value, name, ttl: as in `interlock.RawValue`.
    """

    kind = "aio.RawValue"
    blocking = value.RawValue

    get = awaiting(value.RawValue._load)
    set = awaiting(value.RawValue._store)
    exchange = awaiting(value.RawValue.exchange)

    def __init__(
        self,
        typecode_or_type: Any,
        value: Any = None,
        *,
        name: str | None = None,
        client: Client | None = None,
        ttl: float | None = None,
    ) -> None:
        twin = self.blocking.__new__(self.blocking)
        twin._prepare(typecode_or_type, name=name, client=blocking_client(client), ttl=ttl)
        super().__init__(twin, client, lambda: twin._create(value))


class Value(_Guarded[value.Value]):
    """`interlock.Value` for coroutines.

    >>> import asyncio, interlock.aio
    >>> async def main():
    ...     counter = interlock.aio.Value("i", 0)
    ...     async with counter.get_lock():
    ...         await counter.set(await counter.get() + 1)
    ...     return await counter.get()
    >>> asyncio.run(main())
    1

    Under the lock, `get` shows what the section wrote, and Redis stores that when the lock is released; both as with
    `interlock.Value`. Its first use creates it in Redis, as that of a `RawValue` does.

    Args:
        lock: True or None: an RLock of its own; an `interlock.aio.Lock` or `RLock`: that one.
        client: a `redis.asyncio.Redis` or `redis.asyncio.RedisCluster`; None: from `REDIS_URL`.
            Copies keep it, pickles cannot.
        typecode_or_type, value, name, lease, ttl: as in `interlock.Value`.
    """

    kind = "aio.Value"
    blocking = value.Value

    get = awaiting(value.Value._load)
    set = awaiting(value.Value._store)
    add = awaiting(value.Value.add)
    exchange = awaiting(value.Value.exchange)

    def __init__(
        self,
        typecode_or_type: Any,
        value: Any = None,
        *,
        lock: bool | Lock | RLock | None = True,
        name: str | None = None,
        client: Client | None = None,
        lease: float = 30.0,
        ttl: float | None = None,
    ) -> None:
        twin = self.blocking.__new__(self.blocking)
        guard, client = _guard(lock, client)
        options = {"name": name, "client": blocking_client(client), "lease": lease, "linger": 0.0, "ttl": ttl}
        twin._prepare(typecode_or_type, lock=guard, **options)
        super().__init__(twin, client, lambda: twin._create(value))


class RawArray(_Shared[array.RawArray]):
    """`interlock.RawArray` for coroutines: `await squares.get(1)`, `await squares.set(slice(0, 2), [0, 1])`.

    Its first use creates it in Redis, as that of a `RawValue` does.

    Args:
        client: a `redis.asyncio.Redis` or `redis.asyncio.RedisCluster`; None: from `REDIS_URL`.
            Copies keep it, pickles cannot.
        typecode_or_type, size_or_initializer, name, ttl: as in `interlock.RawArray`.
    """

    kind = "aio.RawArray"
    blocking = array.RawArray

    get = awaiting(array.RawArray._get)
    set = awaiting(array.RawArray._set)

    def __init__(
        self,
        typecode_or_type: Any,
        size_or_initializer: int | Sequence[Any],
        *,
        name: str | None = None,
        client: Client | None = None,
        ttl: float | None = None,
    ) -> None:
        twin = self.blocking.__new__(self.blocking)
        twin._prepare(typecode_or_type, name=name, client=blocking_client(client), ttl=ttl)
        first = twin._sized(size_or_initializer)
        super().__init__(twin, client, lambda: twin._create(first))

    def __len__(self) -> int:
        return len(self._twin)


class Array(_Guarded[array.Array]):
    """`interlock.Array` for coroutines: `get` and `set` as in `RawArray`, the lock as in `Value`.

    Args:
        lock: True or None: an RLock of its own; an `interlock.aio.Lock` or `RLock`: that one.
        client: a `redis.asyncio.Redis` or `redis.asyncio.RedisCluster`; None: from `REDIS_URL`.
            Copies keep it, pickles cannot.
        typecode_or_type, size_or_initializer, name, lease, ttl: as in `interlock.Array`.
    """

    kind = "aio.Array"
    blocking = array.Array

    get = awaiting(array.Array._get)
    set = awaiting(array.Array._set)

    def __init__(
        self,
        typecode_or_type: Any,
        size_or_initializer: int | Sequence[Any],
        *,
        lock: bool | Lock | RLock | None = True,
        name: str | None = None,
        client: Client | None = None,
        lease: float = 30.0,
        ttl: float | None = None,
    ) -> None:
        twin = self.blocking.__new__(self.blocking)
        guard, client = _guard(lock, client)
        options = {"name": name, "client": blocking_client(client), "lease": lease, "linger": 0.0, "ttl": ttl}
        twin._prepare(typecode_or_type, lock=guard, **options)
        first = twin._sized(size_or_initializer)
        super().__init__(twin, client, lambda: twin._create(first))

    def __len__(self) -> int:
        return len(self._twin)


def _guard(lock: bool | Lock | RLock | None, client: Client | None) -> tuple[Any, Any]:
    """Return the lock for the twin, and the client that both use."""
    if isinstance(lock, Lock | RLock):
        return lock._twin, lock._source
    if lock is True or lock is None:
        return True, client
    raise foreign_lock(lock, "True, an interlock.aio.Lock or an interlock.aio.RLock", _shared.WHY)
