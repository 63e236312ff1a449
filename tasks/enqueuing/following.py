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
ENDS_LOOK_EVERY = 1.0  # seconds, if no message comes
BROKEN_PAUSE = 0.1  # seconds until the next look, if the subscription broke

FOLLOW = """
-- Returns the ids of tasks of a batch that have ended after a moment, and the moment of the last one; if there are
-- none, notes that one is awaited.
-- KEYS: the index of ends, the key that exists while the next end is awaited.
-- ARGV: the moment, a score of the index, how many ids at most, how many seconds the next end is awaited.
local ids = redis.call('ZRANGE', KEYS[1], '(' .. ARGV[1], '+inf', 'BYSCORE', 'LIMIT', 0, ARGV[2], 'WITHSCORES')
local found = {}
for number = 1, #ids, 2 do found[#found + 1] = ids[number] end
if #found == 0 then redis.call('SET', KEYS[2], '', 'EX', ARGV[3]) end
return {found, ids[#ids] or ARGV[1]}
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
        self.begin()
        self._again: dict[str, None] = {}  # ids of tasks that ended, and were running when we read their results
        self._seen: set[str] = set()  # ids of tasks whose outcomes were read: after a crash of Redis, they come again

    def begin(self) -> None:
        """Read from the first end on."""
        self._moment = "0"  # the score of the last end that was read

    def next_ids(self, client: Any) -> Any:
        """Ask for the tasks that ended next. Of an asynchronous client, this returns a coroutine."""
        keys = (self.keys.ended, self.keys.awaited)
        return client.eval(FOLLOW, len(keys), *keys, self._moment, READ_MAX, int(10 * ENDS_LOOK_EVERY))

    def ended(self, answer: tuple[Sequence[bytes], bytes]) -> list[str]:
        """Note what FOLLOW answered, and return the ids of the tasks."""
        ids, moment = answer
        self._moment = moment.decode()
        return [id.decode() for id in ids]

    def wanted(self, ended: Sequence[str]) -> list[str]:
        """Return the ids of the results to read, after these tasks have ended."""
        return [*(id for id in ended if id not in self._seen), *list(self._again)[:READ_MAX]]

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
                self._seen.add(id)
                found.append(ended)
        return found

    def forget(self, outcomes: Sequence[Outcome]) -> None:
        """Forget that these outcomes were read."""
        self._seen.difference_update(outcome.id for outcome in outcomes)


def read(backend: Any, cursor: Cursor) -> list[Outcome]:
    """Return the outcomes of the tasks that ended next, READ_MAX or few more: two round trips, or one if none has."""
    wanted = cursor.wanted(cursor.ended(through_outages(lambda: cursor.next_ids(backend.client))))
    if not wanted:
        return []
    return cursor.outcomes(wanted, through_outages(lambda: backend.client.mget(cursor.keys_of(wanted))))


def taken(backend: Any, cursor: Cursor, is_sent: Callable[[str], bool]) -> list[Outcome]:
    """Return the outcomes of the tasks that ended next, and remove them from Redis: for one who reads them alone.

    Args:
        backend: the app's.
        cursor: how far the batch has been read.
        is_sent: whether a task, by its id, will not be sent again: then the set of ids need not name it.
    """
    ids = cursor.ended(through_outages(lambda: cursor.next_ids(backend.client)))
    wanted = cursor.wanted(ids)
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
    cursor.forget(found)
    cursor.begin()  # what comes next is the first of the index then, also if the server's clock was set back
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
