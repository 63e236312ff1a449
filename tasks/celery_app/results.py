"""The result backend: Celery's, on Redis, with producers that wait through an outage of Redis."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cached_property
from typing import Any, ClassVar

import celery.exceptions
from celery import states
from celery.backends import redis
from celery.backends.asynchronous import E_RETRY_LIMIT_EXCEEDED
from celery.backends.base import MESSAGE_BUFFER_MAX, pending_results_t
from celery.exceptions import BackendStoreError
from celery.utils.collections import BufferMap
from kombu.exceptions import EncodeError, OperationalError
from kombu.utils.encoding import bytes_to_str
from redis import RedisError
from redis.exceptions import ResponseError

from interlock import address
from tasks.celery_app import batches, forks, reports, unique
from tasks.celery_app.outage import ATTEMPT_EVERY, OUTAGE_MAX, heals, patiently
from tasks.celery_app.states import STORE, State, UnsentStates

log = logging.getLogger(__name__)

PASSING_STATES = frozenset((states.STARTED, reports.PROGRESS))


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
                while pubsub.connection.can_read():
                    said = pubsub.parse_response(block=False)  # None for an answer to a PING of redis-py's own
                    if said and (message := pubsub.handle_message(said)) and message["type"] == "message":
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
    """Celery's Redis backend, but it stores a state in one round trip (Celery needs two), and never over a success.

    In a worker whose tasks share one process, many states go in one round trip: see `later`.
    """

    ResultConsumer: Any = PatientConsumer

    _script: Any = None
    unsent: ClassVar[UnsentStates | None] = None  # of all threads; None: each state is stored before the task goes on
    result_consumer: Any

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        forks.forked.add(self)

    def begin_anew(self) -> None:
        """Receive results on a connection of this child's own. Called in the child."""
        client, self._script, Backend.unsent = self.__dict__.pop("client", None), None, None
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
        if state in states.READY_STATES and (report := reports.kept(request)) is not None:
            meta[reports.REPORT_FIELD] = report
        encoded = self._encoded({"status": state, **meta, "task_id": task_id})  # STORE looks at what is first
        if len(encoded) > self._MAX_STR_VALUE_SIZE:
            raise BackendStoreError("the result is too large for Redis", state=state, task_id=task_id)
        expires = self.failure_expires if state == states.FAILURE else self.expires
        key = bytes_to_str(self.get_key_for_task(task_id))
        stored = State(key, encoded, int(expires or 0), task_id, passing=state in PASSING_STATES)
        if state in states.READY_STATES:
            group = getattr(request, "group", None)
            batch = batches.keys_of(self, group) if batches.is_batch(group) else None
            stored = stored._replace(batch=batch, frees=unique.key_in(request))
        if self.unsent is None:
            (error,) = self.ensure(lambda: self._store([stored]), ())
            if error is not None:
                raise error
        else:
            self.unsent.put(stored)
        return result

    @cached_property
    def _success(self) -> str:
        """The beginning of a success's JSON."""
        return str(self.encode({"status": states.SUCCESS})).rstrip("}")

    def later(self, changed: Callable[[], None]) -> UnsentStates:
        """Store no state at once from now on, in this process. The caller sends them, after each call of `changed`."""
        if Backend.unsent is None:  # Celery makes a backend for each thread
            Backend.unsent = UnsentStates(self._store, changed)
        return Backend.unsent

    def _store(self, stored: Sequence[State]) -> Sequence[Exception | None]:
        """Store states, and return an error for each that can never be stored, or None."""
        if self._script is None:
            self._script = self.client.register_script(STORE)
        keys = [key for state in stored for key in state.keys]
        replies = self._script(keys=keys, args=[self._success, *(each for state in stored for each in state.arguments)])
        errors = [ResponseError(text) if (text := bytes_to_str(reply)) else None for reply in replies]
        for error in errors:
            if error is not None and heals(error):
                raise error
        return errors

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
