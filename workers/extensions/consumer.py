"""Celery's consumer, extended: what a worker does with its connection and with the messages that arrive."""

import logging
import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from celery import signals
from celery.exceptions import InvalidTaskError, NotRegistered
from celery.utils.objects import Bunch
from celery.worker import consumer, state
from kombu.exceptions import ContentDisallowed, DecodeError
from redis import RedisError

from tasks.celery_app import app
from tasks.celery_app.outage import heals
from tasks.transport.channel import RefusedError, reason_of
from tasks.transport.deliveries import Deliveries, all_deliveries
from workers.extensions import prefork
from workers.extensions.deferred import defer, wait_until_done

log = logging.getLogger(__name__)


class Consumer(consumer.Consumer):  # type: ignore[misc]
    """Takes messages. When its connection breaks, tasks that run go on, and their messages are not given back."""

    away_since: float | None = None  # monotonic: when the connection broke; None: there is one
    ticked = 0.0  # monotonic: when the worker's loop turned last

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Give back the tasks that have not begun. The others go on, and are acknowledged at their end.

        Celery closes all channels of the connection, whichever socket broke, and each would give back all its messages.
        """
        self.away_since = time.monotonic() if self.away_since is None else self.away_since
        for channel in self.connection.transport.channels:
            channel.do_restore = False
        for request in self._not_begun():
            if not request.acknowledged:
                request.message.channel.deliveries.give_back(request.message.delivery_tag)
        super().on_connection_error_after_connected(exc)

    def tick(self) -> None:
        """Note that the worker's loop turns."""
        self.ticked = time.monotonic()

    def still_for(self) -> float:
        """Return for how many seconds the worker's loop has not turned; 0 while it connects, for then it does not."""
        return 0.0 if self.away_since is not None else time.monotonic() - self.ticked

    def _not_begun(self) -> set[Any]:
        """Return the requests that Celery now forgets: no pool has them, or prefork has not begun them."""
        waiting = (request for bucket in self.task_buckets.values() if bucket for request, _ in bucket.contents)
        known = {*state.reserved_requests, *state.scheduled_requests, *waiting}
        if isinstance(self.pool, prefork.TaskPool):
            return known - set(state.active_requests)
        return {request for request in known if request._apply_result is None}

    def call_soon_ack(self, p: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Acknowledge at once, in any thread: a worker that stops turns its loop no more. Then wake the loop."""
        done = p(*args, **kwargs)
        if self.hub:
            self.hub.call_soon(_nothing)
        return done

    def shutdown(self) -> None:
        """Close the connection, and wait until what was settled has reached Redis."""
        super().shutdown()
        wait_until_done()
        for deliveries in all_deliveries():
            deliveries.wait_until_sent()

    # --- messages that no worker can run ---

    def create_task_handler(self, *arguments: Any, **options: Any) -> Callable[[Any], None]:
        """Return Celery's handler, but an error that a message causes fails its task, and the worker goes on."""
        receive = super().create_task_handler(*arguments, **options)

        def on_task_received(message: Any) -> None:
            try:
                if isinstance(message.headers, dict) and "task" in message.headers:  # else Celery looks into the body
                    _look_at_headers(message.headers)
                    _look_at_body(message.payload)
                receive(message)
            except Exception as error:
                if isinstance(error, RedisError | OSError):  # the connection's fault, not the message's
                    raise
                if heals(error):
                    raise RefusedError(str(error)) from error
                for request in tuple(state.reserved_requests):
                    if request.message is message:
                        state.task_ready(request)
                self.refuse(message, error)

        return on_task_received

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Refuse a message whose body is no JSON, or of another kind."""
        self.refuse(message, exc)

    def on_unknown_message(self, body: Any, message: Any) -> None:  # noqa: ARG002  as Celery calls it
        """Refuse a message that names no task."""
        error = InvalidTaskError("the message names no task: it needs the headers task and id")
        self.refuse(message, error)
        signals.task_rejected.send(sender=self, message=message, exc=None)

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:  # noqa: ARG002
        """Refuse a message with a wrong header or body."""
        self.refuse(message, exc)
        signals.task_rejected.send(sender=self, message=message, exc=exc)

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:  # noqa: ARG002
        """Refuse a message whose task this worker does not know."""
        id, name = _named(message)
        self.refuse(message, NotRegistered(name))
        signals.task_unknown.send(sender=self, message=message, exc=exc, name=name, id=id)

    def refuse(self, message: Any, error: Exception) -> None:
        """Fail the task of a message that no worker can run, and move the message to the dead letters."""
        id, name = _named(message)
        known = isinstance(error, DecodeError | InvalidTaskError | NotRegistered | ContentDisallowed)
        log.error("the message of task %s[%s] cannot be run: %r", name, id, error, exc_info=None if known else error)
        error = error.with_traceback(None)
        reason = reason_of(error, id=id, task=name)
        message.channel.qos.forget(message.delivery_tag)
        if id is None:
            message.channel.deliveries.bury(message.delivery_tag, reason)
        else:
            request = Bunch(id=id, task=name, name=name, group=message.headers.get("group"), chord=None, errbacks=None)
            defer(partial(_bury, message.channel.deliveries, message.delivery_tag, reason, error, request))
        if id is not None and self.event_dispatcher:
            self.event_dispatcher.send("task-failed", uuid=id, exception=repr(error))


def _nothing() -> None:
    """Do nothing: the loop turns, and takes messages where there is room again."""


def _named(message: Any) -> tuple[str | None, str | None]:
    """Return the id and the name of a message's task, each None if the message does not say it."""
    headers = message.headers if isinstance(message.headers, dict) else {}
    id, name = headers.get("id"), headers.get("task")
    return (id if isinstance(id, str) else None), (name if isinstance(name, str) else None)


def _look_at_headers(headers: dict[str, Any]) -> None:
    """Raise InvalidTaskError for a header on which Celery would fail later, in the middle of its own work."""
    for name in ("id", "task"):
        if not (isinstance(headers.get(name), str) and headers[name]):
            raise InvalidTaskError(f"the header {name} must be a text, not {headers.get(name)!r:.60}")
    limits = headers.get("timelimit") or (None, None)
    if not (isinstance(limits, list | tuple) and len(limits) == 2 and all(map(_is_limit, limits))):
        raise InvalidTaskError(f"the header timelimit must be two numbers of seconds, or null, not {limits!r:.60}")
    if not isinstance(headers.get("retries") or 0, int):
        raise InvalidTaskError(f"the header retries must be a whole number, not {headers['retries']!r:.60}")


def _look_at_body(body: Any) -> None:
    if isinstance(body, dict):  # an older form of messages
        return
    right = isinstance(body, list | tuple) and len(body) == 3
    if not (right and isinstance(body[0], list | tuple) and all(isinstance(part or {}, dict) for part in body[1:])):
        raise InvalidTaskError("the body must be three things: a list of arguments, named arguments, and what follows")


def _is_limit(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value is None or (number and math.isfinite(value) and value >= 0)


def _bury(deliveries: Deliveries, delivery_tag: str, reason: str, error: Exception, request: Any) -> None:
    try:
        app.backend.mark_as_failure(request.id, error, request=request)
    except Exception as failed:
        if heals(failed):
            raise
        log.exception("no result can be stored for a message that cannot be run")
    deliveries.bury(delivery_tag, reason)
