"""Results that a coroutine may wait for: `await result.aget(timeout=10)`.

Each event loop has one listener, with one subscription for all tasks that its coroutines wait for. The listener reads a
task's result when the server has confirmed the subscription: so it misses no end in between. After an outage, it
subscribes again, and reads all again.
"""

import asyncio
import weakref
from typing import Any

import celery.exceptions
import celery.result
import redis.asyncio
from celery import states
from kombu.exceptions import OperationalError
from kombu.utils.encoding import bytes_to_str
from redis import RedisError
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from interlock import address
from tasks.celery_app.outage import ATTEMPT_EVERY, OUTAGE_MAX, heals
from tasks.celery_app.settings import SOCKET_TIMEOUT

HEARD_WITHIN = 5.0  # seconds: if nothing is heard, a listener asks the server, or ends if nobody waits


def connect(**options: Any) -> redis.asyncio.Redis:
    """Return a client for the event loop that runs, with the time-outs of producers."""
    return redis.asyncio.Redis.from_url(
        address.url(), socket_timeout=SOCKET_TIMEOUT, socket_connect_timeout=SOCKET_TIMEOUT, **options
    )


class AsyncResult(celery.result.AsyncResult):  # type: ignore[misc]
    """Celery's handle of a result, which a coroutine may wait for, too."""

    async def aget(self, timeout: float | None = None, propagate: bool = True) -> Any:
        """Wait until the task has ended, as `get` does, without blocking the event loop.

        Args:
            timeout: seconds; None: for ever.
            propagate: whether to raise what the task raised; False: it is returned.

        Raises:
            celery.exceptions.TimeoutError: the time is over. The task runs on.
            kombu.exceptions.OperationalError: Redis has not answered for 30 seconds, or refuses.
            Exception: what the task raised.
        """
        if self.ignored:
            return None
        celery.result.assert_will_not_block()
        if self._cache is None:
            try:
                async with asyncio.timeout(timeout):
                    stored = await _listener(self.backend).ended(self.id)
            except TimeoutError:
                raise celery.exceptions.TimeoutError(f"task {self.id} has not ended after {timeout:g} s") from None
            self._maybe_set_cache(self.backend.decode_result(stored))
        if propagate:
            self.maybe_throw()
        return self.result


class Listener:
    """Hears of the ends of tasks, for the coroutines of one event loop.

    Args:
        backend: the app's.
    """

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._waiters: dict[str, set[asyncio.Future[bytes]]] = {}  # by the result's key, which is its channel, too
        self._changed = asyncio.Event()  # the keys of the waiters are others than before
        self._task: asyncio.Task[None] | None = None

    async def ended(self, id: str) -> bytes:
        """Return the stored result of a task, once it has ended."""
        key = bytes_to_str(self._backend.get_key_for_task(id))
        waiter: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(key, set()).add(waiter)
        self._changed.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="results")
        try:
            return await waiter
        finally:
            waiters = self._waiters[key]
            waiters.remove(waiter)
            if not waiters:
                del self._waiters[key]
                self._changed.set()

    async def _run(self) -> None:
        """Listen until nobody has waited for HEARD_WITHIN seconds; if the connection breaks, on a new one."""
        loop = asyncio.get_running_loop()
        away_since: float | None = None
        while True:
            try:
                # `_run` connects again: redis-py would do so from two coroutines at once
                async with connect(retry=Retry(NoBackoff(), 0)) as client:
                    await client.ping()
                    away_since = None
                    await self._listen(client)
                    return
            except (RedisError, OSError) as error:
                away_since = loop.time() if away_since is None else away_since
                if not heals(error) or loop.time() - away_since > OUTAGE_MAX:
                    self._fail(OperationalError(address.unreachable(address.masked(address.url()), error)))
                    return
                await asyncio.sleep(ATTEMPT_EVERY)

    def _fail(self, error: OperationalError) -> None:
        for waiter in [waiter for waiters in self._waiters.values() for waiter in waiters if not waiter.done()]:
            waiter.set_exception(error)

    async def _listen(self, client: redis.asyncio.Redis) -> None:
        """Hear what the server says; one coroutine reads, while this one subscribes."""
        subscribed: set[str] = set()
        hearing: asyncio.Task[Any] | None = None
        silent = 0  # how often HEARD_WITHIN seconds have passed without a word
        async with client.pubsub() as pubsub:
            try:
                while True:
                    self._changed.clear()
                    wanted = set(self._waiters)
                    if wanted - subscribed:
                        await pubsub.subscribe(*(wanted - subscribed))
                    if subscribed - wanted:
                        await pubsub.unsubscribe(*(subscribed - wanted))
                    subscribed = wanted
                    hearing = hearing or asyncio.create_task(pubsub.get_message(timeout=HEARD_WITHIN))
                    await self._either(hearing)
                    if not hearing.done():
                        continue
                    said, hearing = hearing.result(), None
                    silent = 0 if said else silent + 1
                    if said:
                        await self._take(client, said)
                    elif silent > 1:
                        raise redis.exceptions.ConnectionError("the server is silent")
                    elif not wanted:
                        return
                    else:
                        await pubsub.ping()
            finally:
                if hearing is not None:
                    hearing.cancel()

    async def _either(self, hearing: asyncio.Task[Any]) -> None:
        """Wait until the server says something, or other results are waited for."""
        changed = asyncio.create_task(self._changed.wait())
        try:
            await asyncio.wait((hearing, changed), return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()

    async def _take(self, client: redis.asyncio.Redis, said: dict[str, Any]) -> None:
        """Give a result to those who wait for it, if it is one and the task has ended."""
        if said["type"] not in ("message", "subscribe"):
            return
        key = said["channel"].decode()
        stored: Any = said["data"] if said["type"] == "message" else await client.get(key)
        if stored is None or self._backend.decode(stored)["status"] not in states.READY_STATES:
            return
        for waiter in self._waiters.get(key, ()):
            if not waiter.done():
                waiter.set_result(stored)


_listeners: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Listener]" = weakref.WeakKeyDictionary()


def _listener(backend: Any) -> Listener:
    """Return the listener of the event loop that runs."""
    loop = asyncio.get_running_loop()
    if loop not in _listeners:
        _listeners[loop] = Listener(backend)
    return _listeners[loop]
