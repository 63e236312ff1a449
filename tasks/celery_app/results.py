"""Where results are kept: Celery's Redis backend, with producers that wait through an outage of Redis."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from celery import states
from celery.backends import redis
from celery.backends.asynchronous import E_RETRY_LIMIT_EXCEEDED
from celery.backends.base import MESSAGE_BUFFER_MAX, pending_results_t
from celery.exceptions import BackendStoreError
from celery.utils.collections import BufferMap
from kombu.exceptions import EncodeError, OperationalError
from redis import RedisError

from interlock import address
from tasks.celery_app import forks
from tasks.celery_app.outage import ATTEMPT_EVERY, OUTAGE_MAX, heals, patiently

log = logging.getLogger(__name__)


class PatientConsumer(redis.ResultConsumer):  # type: ignore[misc]
    """Receives results. Whoever waits for one waits through an outage, within the time-out of `get`.

    Celery's own gives up after as many attempts as publishing makes, which are few here, so that a producer hears of an
    outage in a second.
    """

    _pubsub: Any = None
    on_message: Callable[[dict[str, Any]], None] | None
    _away_since: float | None = None  # on time.monotonic(); None: connected

    def drain_events(self, timeout: float | None = None) -> None:
        """Wait for one message, or for so many seconds.

        Raises:
            kombu.exceptions.OperationalError: Redis has not answered for OUTAGE_MAX seconds.
        """
        try:
            if self._away_since is not None:
                self._reconnect_pubsub()  # reads what has arrived meanwhile, and subscribes again
                self._away_since = None
                log.warning("Redis answers again")
            super().drain_events(timeout)
        except TimeoutError:  # nothing came
            raise
        except (OperationalError, *self._connection_errors) as error:
            self._wait(error.__cause__ or error, timeout)

    def read_what_has_come(self, on_message: Callable[[dict[str, Any]], None]) -> None:
        """Hand on the messages that have arrived by now.

        `get` reads none of them if it finds the result stored already; what a task printed came before its result.
        """
        before, self.on_message = self.on_message, on_message
        try:
            with self._locked():
                pubsub = self._pubsub
                if self._away_since is not None or pubsub is None or pubsub.connection is None:
                    return
                # Not get_message(): of a group, each member has two results here; its channel counts as left with one.
                while pubsub.connection.can_read() and (said := pubsub.parse_response(block=False)) is not None:
                    if (message := pubsub.handle_message(said)) and message["type"] == "message":
                        self.on_state_change(self._decode_result(message["data"]), message)
        except (OperationalError, RedisError) as error:
            log.debug("could not read what has come: %s", error)
        finally:
            self.on_message = before

    def cancel_for(self, task_id: str) -> None:
        """Receive no more of a task; without an answer of Redis, for a subscription goes with its connection.

        Results ask for it when they are collected, perhaps while the process ends.
        """
        if sys.is_finalizing():
            return
        try:
            super().cancel_for(task_id)
        except (OperationalError, RedisError) as error:
            log.debug("could not unsubscribe from %s: %s", task_id, error)

    @contextmanager
    def reconnect_on_error(self) -> Iterator[None]:
        """As Celery's, with an error of one line: kombu.exceptions.OperationalError."""
        try:
            with super().reconnect_on_error():
                yield
        except RuntimeError as error:
            if str(error) != E_RETRY_LIMIT_EXCEEDED:
                raise
            reason = error.__cause__
            raise OperationalError(address.unreachable(address.masked(address.url()), reason)) from reason

    def abandon(self) -> None:
        """Close what a child has of its parent's socket. Nothing is sent, so the parent's subscriptions stay."""
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            pubsub.subscribed_event = threading.Event()  # another thread may have had the old one's lock
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
-- Keeps a task's state and publishes it; once a task has succeeded, a second run of it changes nothing.
-- KEYS: 1 the task's key, which is the channel too.
-- ARGV: 1 the state as JSON, 2 seconds until it expires (0: never), 3 what the JSON of a success begins with
-- The JSON is not parsed: Python writes what this parser refuses, half a surrogate pair or a deeply nested list.
if redis.call('GETRANGE', KEYS[1], 0, #ARGV[3] - 1) == ARGV[3] then
    return 0
end
if ARGV[2] == '0' then
    redis.call('SET', KEYS[1], ARGV[1])
else
    redis.call('SETEX', KEYS[1], ARGV[2], ARGV[1])
end
redis.call('PUBLISH', KEYS[1], ARGV[1])
return 1
"""


class Backend(redis.RedisBackend):  # type: ignore[misc]
    """Celery's Redis backend, which stores a task's state in one round trip: Celery's takes two, and does not hold."""

    ResultConsumer: Any = PatientConsumer

    _script: Any = None
    _success = ""  # what the JSON of a success begins with
    result_consumer: Any

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        forks.forked.add(self)

    def begin_anew(self) -> None:
        """In a child: receive results on a connection of its own, those that the parent waits for included."""
        client, self._script = self.__dict__.pop("client", None), None
        if client is not None:
            client.connection_pool._lock = threading.RLock()  # another thread may have had the old one
        self.result_consumer.abandon()
        self._pending_results, self._pending_messages = pending_results_t({}, {}), BufferMap(MESSAGE_BUFFER_MAX)
        self.result_consumer = self.ResultConsumer(
            self, self.app, self.accept, self._pending_results, self._pending_messages
        )

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
        arguments = {"keys": [self.get_key_for_task(task_id)], "args": [encoded, int(expires or 0), self._success]}
        self.ensure(lambda: self._script(**arguments), ())
        return result

    def exception_safe_to_retry(self, exc: BaseException) -> bool:
        """Whether storing may succeed later: Redis is away, or refuses for now, because it is full, say."""
        return heals(exc)

    def on_chord_part_return(self, request: Any, state: str, result: Any, **options: Any) -> Any:
        """As Celery's; it waits for a Redis that refuses for now."""
        counted = super().on_chord_part_return
        return patiently(lambda: counted(request, state, result, **options))

    def _encoded(self, meta: dict[str, Any]) -> Any:
        """The state as text; without what the task was called with, if that is nested too deeply for one."""
        try:
            return self.encode(meta)
        except EncodeError:
            if not (meta.get("args") or meta.get("kwargs")):
                raise
            return self.encode({**meta, "args": None, "kwargs": None})
