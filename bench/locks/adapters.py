"""Give every lock that is measured the same three calls: acquire, release, close.

Each lock has its own defaults, a lease of 30 s, and one client a process. The clients have no socket timeout: redis-py
8's default of 5 s would cut the blocking wait of python-redis-lock.

The calls are coroutines, so that one function can measure all locks. A blocking lock's coroutines never suspend: to
await one costs 0.1 us, and no event loop runs (see `drive`).
"""

import asyncio
import importlib
import importlib.metadata
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import redis
import redis.asyncio
import redis.lock

import interlock
from bench.harness.server import HOST, LEASE

T = TypeVar("T")


class Lock(Protocol):
    """What is measured: a lock, for one process."""

    async def acquire(self) -> None:
        """Acquire the lock, however long that takes."""

    async def release(self) -> None:
        """Release the lock."""

    async def close(self) -> None:
        """Close the lock's connections."""


class _Blocking:
    """A lock whose acquire and release block the thread."""

    def __init__(self, port: int) -> None:
        self.client = redis.Redis(host=HOST, port=port, socket_timeout=None)
        self.lock: Any

    async def acquire(self) -> None:
        if not self.lock.acquire():
            raise RuntimeError("an acquire without a timeout returned without the lock")

    async def release(self) -> None:
        self.lock.release()

    async def close(self) -> None:
        self.client.close()


class Interlock(_Blocking):
    """`interlock.Lock`."""

    def __init__(self, port: int, name: str) -> None:
        super().__init__(port)
        self.lock = interlock.Lock(name=name, client=self.client, lease=LEASE, linger=0)


class RedisPy(_Blocking):
    """`redis.lock.Lock`, whose waiters ask every 0.1 s."""

    def __init__(self, port: int, name: str) -> None:
        super().__init__(port)
        self.lock = redis.lock.Lock(self.client, name, timeout=LEASE)


class PythonRedisLock(_Blocking):
    """`redis_lock.Lock`; its renewal is off by default, which saves it a thread for each acquire."""

    def __init__(self, port: int, name: str) -> None:
        super().__init__(port)
        self.lock = importlib.import_module("redis_lock").Lock(self.client, name, expire=LEASE)


class RedisFifoLock:
    """`redis_fifo_lock.FifoLock`, which is for asyncio only."""

    def __init__(self, port: int, name: str) -> None:
        self.client = redis.asyncio.Redis(host=HOST, port=port, socket_timeout=None)
        self.lock = importlib.import_module("redis_fifo_lock").FifoLock(self.client, name, lease_ms=LEASE * 1000)
        self.lease: Any = None

    async def acquire(self) -> None:
        self.lease = await self.lock.acquire()

    async def release(self) -> None:
        await self.lock.release(self.lease)

    async def close(self) -> None:
        await self.client.aclose()


@dataclass(frozen=True)
class Entry:
    """One lock of the comparison."""

    package: str  # its name in the package index
    licence: str
    note: str
    make: Callable[[int, str], Lock]  # takes the server's port on the loopback address, and a name
    module: str
    asynchronous: bool = False

    @property
    def version(self) -> str:
        """Return the version that is installed."""
        return importlib.metadata.version(self.package)

    def missing(self) -> str | None:
        """Return why the lock cannot be measured; None if it can."""
        try:
            importlib.import_module(self.module)
        except ImportError as error:
            return str(error)
        return None


OURS = "interlock"
LOCKS = {
    OURS: Entry("interlock", "MIT", "first come, first served; renewed; fenced", Interlock, "interlock"),
    "redis-py": Entry("redis", "MIT", "asks every 0.1 s; no order, no renewal, no fence", RedisPy, "redis.lock"),
    "python-redis-lock": Entry(
        "python-redis-lock", "BSD-2-Clause", "woken, then asks; no order, renewal off, no fence", PythonRedisLock,
        "redis_lock",
    ),
    "redis-fifo-lock": Entry(
        "redis-fifo-lock", "MIT", "asyncio; first come, first served; renewed; fenced", RedisFifoLock,
        "redis_fifo_lock", asynchronous=True,
    ),
}  # fmt: skip


def drive(entry: Entry, body: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that uses a lock, in an event loop only if the lock needs one; return what it returns."""
    if entry.asynchronous:
        return asyncio.run(body)
    try:
        body.send(None)
    except StopIteration as ended:
        value: T = ended.value
        return value
    raise RuntimeError("a blocking lock suspended its coroutine")
