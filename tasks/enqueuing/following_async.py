"""The same for an event loop: a connection of redis.asyncio reads which tasks have ended, and another hears of it."""

import asyncio
from typing import Any, Self

from redis import RedisError

from tasks.celery_app.awaitable_results import connect
from tasks.enqueuing.following import BROKEN_PAUSE, Cursor
from tasks.enqueuing.outages import TROUBLE, Outage
from tasks.enqueuing.outcomes import Outcome


class Reader:
    """Reads the outcomes of a batch; an asynchronous context manager, which closes its connections.

    Args:
        cursor: how far the batch has been read.
    """

    def __init__(self, cursor: Cursor) -> None:
        self._cursor, self._client = cursor, connect()
        self._pubsub: Any = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()
        await self._client.aclose()

    async def size(self) -> int:
        """Return how many tasks the batch has."""
        return int(await self._through_outages(lambda: self._client.scard(self._cursor.keys.sent)))

    async def read(self) -> list[Outcome]:
        """Return the outcomes of the tasks that ended next."""
        answer = await self._through_outages(lambda: self._cursor.next_ids(self._client))
        wanted = self._cursor.wanted(self._cursor.ended(answer))
        if not wanted:
            return []
        keys = self._cursor.keys_of(wanted)
        return self._cursor.outcomes(wanted, await self._through_outages(lambda: self._client.mget(keys)))

    async def wait(self, seconds: float) -> None:
        """Wait for a message, or until the time is over, or the connection breaks: look in any case."""
        try:
            if self._pubsub is None:
                self._pubsub = self._client.pubsub(ignore_subscribe_messages=True)
                await self._pubsub.subscribe(self._cursor.keys.channel)
            await self._pubsub.get_message(timeout=seconds)
        except (RedisError, OSError):  # whoever looks next waits through the outage, or says what is wrong
            await self._close()
            await asyncio.sleep(min(seconds, BROKEN_PAUSE))

    async def _close(self) -> None:
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            await pubsub.aclose()

    async def _through_outages(self, ask: Any) -> Any:
        outage = Outage()
        while True:
            try:
                answer = await ask()
            except TROUBLE as error:
                await asyncio.sleep(outage.pause(error))
            else:
                outage.over()
                return answer
