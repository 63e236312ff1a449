"""Which tasks of a batch have ended: read from the batch's index, which workers write, from where one has read so far.

If nothing further has ended, the script notes that the next end is awaited, and the worker's script then publishes it:
so there is one subscription, one message for each wait, and no look at single results until they are there. A message
may be lost; therefore a waiter looks once a second, too.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Self

from redis import RedisError

from tasks.celery_app import batches
from tasks.enqueuing.outages import through_outages
from tasks.enqueuing.outcomes import Outcome, outcome

READ_MAX = 500  # results in one round trip
LOOK_EVERY = 1.0  # seconds, if no message comes
BROKEN_PAUSE = 0.1  # seconds until the next look, if the subscription broke

FOLLOW = """
-- Returns the ids of tasks of a batch that have ended, from a position on; if there are none, notes that one is
-- awaited.
-- KEYS: the index of ends, the key that exists while the next end is awaited.
-- ARGV: how many ends are known, how many ids at most, how many seconds the next end is awaited.
local ids = redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[1] + ARGV[2] - 1)
if #ids == 0 then redis.call('SET', KEYS[2], '', 'EX', ARGV[3]) end
return ids
"""


class Cursor:
    """How far somebody has read a batch. It says what to ask, and keeps what was answered.

    Args:
        backend: the app's.
        group: the batch's group.
    """

    def __init__(self, backend: Any, group: str) -> None:
        self._backend = backend
        self.keys = batches.keys_of(backend, group)
        self.read = 0
        """How many ends have been read."""
        self._again: dict[str, None] = {}  # ids of tasks that ended, and were running when we read their results

    def next_ids(self, client: Any) -> Any:
        """Ask for the ids of the tasks that ended next. Of an asynchronous client, this returns a coroutine."""
        keys = (self.keys.ended, self.keys.awaited)
        return client.eval(FOLLOW, len(keys), *keys, self.read, READ_MAX, int(10 * LOOK_EVERY))

    def wanted(self, ids: Sequence[bytes]) -> list[str]:
        """Note what FOLLOW returned, and return the ids of the results to read."""
        self.read += len(ids)
        return [*(id.decode() for id in ids), *list(self._again)[:READ_MAX]]

    def keys_of(self, wanted: Sequence[str]) -> list[Any]:
        """Return the keys of results."""
        return [self._backend.get_key_for_task(id) for id in wanted]

    def outcomes(self, wanted: Sequence[str], stored: Sequence[bytes | None]) -> list[Outcome]:
        """Return the outcomes, and keep the ids of tasks that run again, as after the loss of their worker."""
        found = []
        for id, text in zip(wanted, stored, strict=True):
            ended = outcome(self._backend, id, text)
            if ended is None:
                self._again[id] = None
            else:
                self._again.pop(id, None)
                found.append(ended)
        return found


def read(backend: Any, cursor: Cursor) -> list[Outcome]:
    """Return the outcomes of the tasks that ended next, READ_MAX or few more: two round trips, or one if none has."""
    wanted = cursor.wanted(through_outages(lambda: cursor.next_ids(backend.client)))
    if not wanted:
        return []
    return cursor.outcomes(wanted, through_outages(lambda: backend.client.mget(cursor.keys_of(wanted))))


def taken(backend: Any, cursor: Cursor, is_sent: Callable[[str], bool]) -> list[Outcome]:
    """Return the outcomes of the tasks that ended next, and remove them from Redis: for one who reads them alone.

    Args:
        backend: the app's.
        cursor: it begins with the first end that is there.
        is_sent: whether a task, by its id, will not be sent again: then the set of ids need not name it.
    """
    ids = through_outages(lambda: cursor.next_ids(backend.client))
    wanted = cursor.wanted(ids)
    cursor.read = 0  # the next ones will be the first of the index
    if not wanted:
        return []
    keys = cursor.keys_of(wanted)
    found = cursor.outcomes(wanted, through_outages(lambda: backend.client.mget(keys)))

    def remove() -> None:
        with backend.client.pipeline(transaction=False) as pipeline:
            if ids:
                pipeline.zrem(cursor.keys.ended, *ids)
            for outcome in found:
                if is_sent(outcome.id):
                    pipeline.srem(cursor.keys.sent, outcome.id)
                pipeline.delete(backend.get_key_for_task(outcome.id))
            pipeline.execute()

    through_outages(remove)
    return found


class Subscription:
    """Hears that a task of a batch has ended; a context manager. It subscribes when it first waits.

    Args:
        backend: the app's.
        channel: the batch's channel.
    """

    def __init__(self, backend: Any, channel: str) -> None:
        self._backend, self._channel = backend, channel
        self._pubsub: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def wait(self, seconds: float) -> None:
        """Wait for a message, or until the time is over, or the connection breaks: look in any case."""
        try:
            if self._pubsub is None:
                self._pubsub = self._backend.client.pubsub(ignore_subscribe_messages=True)
                self._pubsub.subscribe(self._channel)  # the server's answer counts as a message: so look once more
            self._pubsub.get_message(timeout=seconds)
        except (RedisError, OSError):  # whoever looks next waits through the outage, or says what is wrong
            self._close()
            time.sleep(min(seconds, BROKEN_PAUSE))

    def _close(self) -> None:
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            pubsub.close()
