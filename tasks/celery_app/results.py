"""The result backend: Celery's, on Redis, with producers that wait through an outage of Redis."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

import celery.exceptions
from celery import states
from celery.backends import redis
from celery.backends.asynchronous import E_RETRY_LIMIT_EXCEEDED
from celery.backends.base import MESSAGE_BUFFER_MAX, pending_results_t
from celery.exceptions import BackendStoreError
from celery.utils.collections import BufferMap
from kombu.exceptions import EncodeError, OperationalError
from redis import RedisError

from interlock import address
from tasks.celery_app import batches, forks, unique
from tasks.celery_app.outage import ATTEMPT_EVERY, OUTAGE_MAX, heals, patiently

log = logging.getLogger(__name__)


class PatientConsumer(redis.ResultConsumer):  # type: ignore[misc]
    """Receives results. A thread that waits for one waits through an outage, within the time-out of `get`.

    Celery's own consumer gives up after as many attempts as the settings allow for publishing. These are few, so that a
    producer hears of an outage in a second.
    """

    _pubsub: Any = None
    on_message: Callable[[dict[str, Any]], None] | None
    _away_since: float | None = None  # on time.monotonic(); None: connected

    def drain_events(self, timeout: float | None = None) -> None:
        """Wait for one message, for `timeout` seconds at most.

        Raises:
            kombu.exceptions.OperationalError: Redis has not answered for OUTAGE_MAX seconds.
        """
        try:
            if self._away_since is not None:
                self._reconnect_pubsub()  # reads what arrived meanwhile, and subscribes again
                self._away_since = None
                log.warning("Redis answers again")
            super().drain_events(timeout)
        except TimeoutError:  # no message came
            raise
        except (OperationalError, *self._connection_errors) as error:
            self._wait(error.__cause__ or error, timeout)

    def on_wait_for_pending(self, result: Any, timeout: float | None = None, **options: Any) -> None:
        """Read at the beginning of a wait what is stored already; if Redis is away just then, wait for it.

        Raises:
            celery.exceptions.TimeoutError: `timeout` seconds are over.
            kombu.exceptions.OperationalError: Redis has not answered for OUTAGE_MAX seconds.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                super().on_wait_for_pending(result, timeout=timeout, **options)
                return
            except (OperationalError, *self._connection_errors) as error:
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    raise celery.exceptions.TimeoutError("The operation timed out.") from error
                self._wait(error.__cause__ or error, left)

    def read_what_has_come(self, on_message: Callable[[dict[str, Any]], None]) -> None:
        """Pass on the messages that have arrived by now.

        If `get` finds the result stored already, it reads no message, though the task's printed lines came before its
        result.
        """
        before, self.on_message = self.on_message, on_message
        try:
            with self._locked():
                pubsub = self._pubsub
                if self._away_since is not None or pubsub is None or pubsub.connection is None:
                    return
                # Not get_message(), which reads nothing once a channel counts as unsubscribed: a member of a group has
                # two result objects here, and the first to be done unsubscribes.
                while pubsub.connection.can_read() and (said := pubsub.parse_response(block=False)) is not None:
                    if (message := pubsub.handle_message(said)) and message["type"] == "message":
                        self.on_state_change(self._decode_result(message["data"]), message)
        except (OperationalError, RedisError) as error:
            log.debug("could not read what has come: %s", error)
        finally:
            self.on_message = before

    def cancel_for(self, task_id: str) -> None:
        """Unsubscribe from a task. If Redis does not answer, do nothing: the subscription ends with its connection.

        Celery's results call this when they are garbage-collected, perhaps while the process ends.
        """
        if sys.is_finalizing():
            return
        try:
            super().cancel_for(task_id)
        except (OperationalError, RedisError) as error:
            log.debug("could not unsubscribe from %s: %s", task_id, error)

    @contextmanager
    def reconnect_on_error(self) -> Iterator[None]:
        """Reconnect, as Celery does, but raise kombu.exceptions.OperationalError with a text of one line."""
        try:
            with super().reconnect_on_error():
                yield
        except RuntimeError as error:
            if str(error) != E_RETRY_LIMIT_EXCEEDED:
                raise
            reason = error.__cause__
            raise OperationalError(address.unreachable(address.masked(address.url()), reason)) from reason

    def abandon(self) -> None:
        """Close a child's copy of its parent's socket. This sends nothing, so the parent's subscriptions stay."""
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            pubsub.subscribed_event = threading.Event()  # another thread may hold the old one's lock
            with suppress(Exception):
                pubsub.reset()

    def _wait(self, error: BaseException, timeout: float | None) -> None:
        now = time.monotonic()
        where = address.masked(address.url())
        if self._away_since is None:
            self._away_since = now
            log.warning("Redis at %s does not answer: waiting up to %.0f s for it", where, OUTAGE_MAX)
        elif now - self._away_since > OUTAGE_MAX:
            raise OperationalError(address.unreachable(where, error)) from error
        time.sleep(ATTEMPT_EVERY if timeout is None else min(ATTEMPT_EVERY, timeout))


STORE = """
-- Stores a task's state and publishes it. Once a task has succeeded, a second run of it changes nothing.
-- KEYS: 1 the task's key, which is also the channel. If the task ends and belongs to a batch: 2 the batch's index of
--   ends, 3 the key that exists while the next end is awaited.
-- ARGV: 1 the state as JSON, 2 seconds until it expires (0: never), 3 the beginning of a success's JSON; 4 the task's
--   id, 5 seconds until the index expires, 6 the batch's channel
-- Returns 1, or 0 if the task had succeeded before.
-- It does not parse the JSON: Python writes some that cjson refuses, half a surrogate pair or a deeply nested list.
if redis.call('GETRANGE', KEYS[1], 0, #ARGV[3] - 1) == ARGV[3] then
    return 0
end
if ARGV[2] == '0' then
    redis.call('SET', KEYS[1], ARGV[1])
else
    redis.call('SETEX', KEYS[1], ARGV[2], ARGV[1])
end
redis.call('PUBLISH', KEYS[1], ARGV[1])
if KEYS[2] then
    local time, last = redis.call('TIME'), redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')
    local now_us = math.max(time[1] * 1000000 + time[2], (tonumber(last[2]) or 0) + 1)
    redis.call('ZADD', KEYS[2], 'NX', string.format('%.0f', now_us), ARGV[4])
    redis.call('EXPIRE', KEYS[2], ARGV[5])
    if redis.call('DEL', KEYS[3]) == 1 then redis.call('PUBLISH', ARGV[6], '') end
end
return 1
"""


_unheard: ContextVar[bool] = ContextVar("tasks.unheard", default=False)


@contextmanager
def sent_unheard() -> Iterator[None]:
    """Do not subscribe to the results of tasks that are sent inside: whoever waits for them does so by other means."""
    mark = _unheard.set(True)
    try:
        yield
    finally:
        _unheard.reset(mark)


class Backend(redis.RedisBackend):  # type: ignore[misc]
    """Celery's Redis backend, but it stores a state in one round trip (Celery needs two), and never over a success."""

    ResultConsumer: Any = PatientConsumer

    _script: Any = None
    _success = ""  # the beginning of a success's JSON
    result_consumer: Any

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        forks.forked.add(self)

    def begin_anew(self) -> None:
        """Receive results on a connection of this child's own. Called in the child."""
        client, self._script = self.__dict__.pop("client", None), None
        if client is not None:
            client.connection_pool._lock = threading.RLock()  # another thread may hold the old one
        self.result_consumer.abandon()
        self._pending_results, self._pending_messages = pending_results_t({}, {}), BufferMap(MESSAGE_BUFFER_MAX)
        self.result_consumer = self.ResultConsumer(
            self, self.app, self.accept, self._pending_results, self._pending_messages
        )

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Subscribe to the result of a task that is about to be sent, as Celery does."""
        if not _unheard.get():
            super().on_task_call(producer, task_id)

    def _store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **_: Any
    ) -> Any:
        meta = self._get_result_meta(result=result, state=state, traceback=traceback, request=request)
        encoded = self._encoded({"status": state, **meta, "task_id": task_id})  # STORE looks at what is first
        if len(encoded) > self._MAX_STR_VALUE_SIZE:
            raise BackendStoreError("the result is too large for Redis", state=state, task_id=task_id)
        if self._script is None:
            self._script = self.client.register_script(STORE)
            self._success = self.encode({"status": states.SUCCESS}).rstrip("}")
        expires = self.failure_expires if state == states.FAILURE else self.expires
        keys, args = [self.get_key_for_task(task_id)], [encoded, int(expires or 0), self._success]
        group = getattr(request, "group", None)
        if state in states.READY_STATES and batches.is_batch(group):
            batch = batches.keys_of(self, group)
            keys += [batch.ended, batch.awaited]
            args += [task_id, max(int(expires or 0), batches.KEPT), batch.channel]
        self.ensure(lambda: self._script(keys=keys, args=args), ())
        if state in states.READY_STATES:
            self.ensure(lambda: unique.release(self.client, request, task_id), ())
        return result

    def exception_safe_to_retry(self, exc: BaseException) -> bool:
        """Whether storing may succeed later: Redis is away, or refuses for a reason that passes, being full, say."""
        return heals(exc)

    def on_chord_part_return(self, request: Any, state: str, result: Any, **options: Any) -> Any:
        """Count a part of a chord, as Celery does, and wait while Redis refuses for a reason that passes."""
        counted = super().on_chord_part_return
        return patiently(lambda: counted(request, state, result, **options))

    def _encoded(self, meta: dict[str, Any]) -> Any:
        """Return the state as text, without the task's arguments if they are nested too deeply for JSON."""
        try:
            return self.encode(meta)
        except EncodeError:
            if not (meta.get("args") or meta.get("kwargs")):
                raise
            return self.encode({**meta, "args": None, "kwargs": None})
