"""kombu's Redis transport, except that a worker outlives an outage of Redis and runs no task twice.

With kombu 5.7.0, a worker whose connection breaks gives its running tasks back to their queue as soon as it can: so
they run twice. Or it ends with an AttributeError, if another connection breaks before the one on which it waits for
tasks (kombu closes a channel whose closing failed once more when it forgets the channel's address). And the worker
cannot acknowledge the tasks that ran, for their channel is closed. If Redis refuses a command, because it is full, say,
the worker ends, and the message that it was about to take is lost.

Here, a channel that has lost its connection gives back only the tasks that have not begun (`consumer` knows them). It
acknowledges the others over another connection: Redis lets any connection do so. A refusal for a reason that passes
counts as a lost connection, with one exception. A message that Redis has no room to note as received waits to be put
back, and the worker takes no other meanwhile. The tasks of a worker that vanishes come back as with kombu.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty
from typing import Any

import kombu.transport
import redis.exceptions
from kombu.exceptions import DecodeError
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads

from tasks.celery_app import exits
from tasks.celery_app.outage import refused_for_now
from workers.extensions import dead_letters
from workers.extensions.deferred import any_deferred, defer

log = logging.getLogger(__name__)


def install() -> None:
    """Use this transport for `redis://` and `rediss://`."""
    for scheme in ("redis", "rediss"):
        kombu.transport.TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"


class RefusedError(redis.exceptions.ConnectionError):
    """Redis refuses for a reason that passes: it counts as away."""


@contextmanager
def refusals_as_losses() -> Iterator[None]:
    """Raise RefusedError where Redis refuses for a reason that passes: a worker then reconnects until served."""
    try:
        yield
    except redis.exceptions.ResponseError as error:
        if refused_for_now(error):
            raise RefusedError(str(error)) from error
        raise


class HeldBackError(Exception):
    """Redis has no room to note a message as received, so the message waits to be put back."""


class UnreadableError(Exception):
    """An item of a queue is no message."""


class Message(virtual.Message):  # type: ignore[misc]
    """A message. If it is malformed, it raises UnreadableError or DecodeError, which do not end the worker."""

    def __init__(self, payload: Any, channel: Any = None, **options: Any) -> None:
        try:
            super().__init__(payload, channel=channel, **options)
            self.delivery_info["exchange"], self.delivery_info["routing_key"]  # a channel needs both entries
        except Exception as error:
            raise UnreadableError(f"this is no message of a task: {error!r:.200}") from error

    def _decode(self) -> Any:
        """Decode the body, as kombu does. An argument's constructor may raise an error of any kind."""
        try:
            return super()._decode()
        except BaseException as error:
            instead = exits.contained(error)
            if instead is None:
                raise
            raise DecodeError(str(instead)) from error


class QoS(kombu_redis.QoS):  # type: ignore[misc]
    """The messages that a channel has taken and not acknowledged. One that cannot be noted here is not lost."""

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note a message that was taken off its queue. If that fails, put it back."""
        try:
            with refusals_as_losses():
                super().append(message, delivery_tag)
        except self.channel.connection_errors as error:
            payload, where = message._raw, message.delivery_info
            defer(lambda channel: channel.put_back(delivery_tag, payload, where["exchange"], where["routing_key"]))
            if isinstance(error, RefusedError):  # the connection itself is sound
                raise HeldBackError from error
            raise
        except Exception as error:  # for example, its headers are nested too deeply
            raise UnreadableError(f"this message cannot be noted: {error!r:.200}") from error

    def can_consume(self) -> bool:
        """Whether the channel may take a message: not while one waits to be put back, which no other place holds."""
        return not any_deferred() and bool(super().can_consume())

    def restore_visible(self, *arguments: Any, **options: Any) -> None:
        """Put the messages of vanished workers back, as kombu does, or a little later if Redis refuses now."""
        try:
            super().restore_visible(*arguments, **options)
        except RefusedError as error:
            log.debug("messages of vanished workers go back later: %s", error)


class Channel(kombu_redis.Channel):  # type: ignore[misc]
    """A channel that can acknowledge its messages after it has lost its connection."""

    QoS = QoS
    Message = Message
    _kept: tuple[Any, Any] | None = None  # a pool of connections, and the client over it

    def __init__(self, *arguments: Any, **options: Any) -> None:
        with refusals_as_losses():
            super().__init__(*arguments, **options)

    def _create_client(self, asynchronous: bool = False) -> Any:
        """Return a client, and reuse it: kombu makes one for each command, which takes longer than the command."""
        if asynchronous:
            return super()._create_client(asynchronous)
        pool = self.pool
        if self._kept is None or self._kept[0] is not pool:
            self._kept = pool, super()._create_client()
        return self._kept[1]

    @contextmanager
    def conn_or_acquire(self, client: Any = None) -> Iterator[Any]:
        """Yield a client, as kombu does."""
        with refusals_as_losses(), super().conn_or_acquire(client) as found:
            yield found

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        """Bind a queue, as kombu does. A worker that reconnects to a full Redis need not: its queues are bound."""
        try:
            super()._queue_bind(exchange, routing_key, pattern, queue)
        except RefusedError as error:
            log.warning("queue %s could not be bound anew: %s", queue, error)

    def _brpop_read(self, **options: Any) -> bool:
        """Read an item of a queue, as kombu does. An item that is no message becomes a dead letter."""
        try:
            try:
                with refusals_as_losses():
                    found = self.client.parse_response(self.client.connection, "BRPOP", **options)
            except self.connection_errors:
                self.client.connection.disconnect()
                raise
            if not found:
                raise Empty
            queue = bytes_to_str(found[0]).rsplit(self.sep, 1)[0]
            self._queue_cycle.rotate(queue)
            self._take(queue, found[1])
            return True
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()

    def _take(self, queue: str, item: bytes) -> None:
        try:
            try:
                payload = loads(bytes_to_str(item))
            except (ValueError, RecursionError) as error:
                raise UnreadableError(f"this is no JSON: {error!r:.200}") from error
            self.connection._deliver(payload, queue)
        except HeldBackError as error:
            log.warning("tasks wait, for Redis refuses to note them as received: %s", error.__cause__)
        except UnreadableError as error:
            log.error("what lay in queue %s cannot be run: %s", queue, error)
            letter = dead_letters.letter(error, repr(item))
            defer(lambda _: dead_letters.keep(letter))

    def _receive_one(self, client: Any) -> Any:
        try:
            with refusals_as_losses():
                return super()._receive_one(client)
        except (UnreadableError, RecursionError) as error:
            log.error("what was published for workers cannot be read: %r", error)
            raise Empty from error

    def _subscribe(self) -> None:
        with refusals_as_losses():
            super()._subscribe()

    def _brpop_start(self, timeout: float | None = None) -> None:
        with refusals_as_losses():
            super()._brpop_start(timeout)

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:  # noqa: ARG002  as kombu calls it
        """Acknowledge a message. If this channel has lost its connection, another connection does so soon."""
        self._settle(delivery_tag, lambda channel: channel.qos.ack(delivery_tag))

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Give a message back, or drop it. If this channel has lost its connection, another connection does so soon."""
        self._settle(delivery_tag, lambda channel: channel.qos.reject(delivery_tag, requeue=requeue))

    def _settle(self, delivery_tag: str, action: Callable[[Any], None]) -> None:
        if not self.closed:
            try:
                with refusals_as_losses():
                    action(self)
                return
            except self.connection_errors:
                pass
        self.settle_later(delivery_tag, action)

    def settle_later(self, delivery_tag: str, action: Callable[[Any], None]) -> None:
        """Defer an action that settles a message. This channel forgets the message, and does not give it back."""
        if not self.closed:
            virtual.QoS.ack(self.qos, delivery_tag)
        defer(action)

    def put_back(self, delivery_tag: str, payload: Any, exchange: str, routing_key: str) -> None:
        """Put a message back on the queue that it was taken off, and remove it from everywhere else."""

        def restore(pipe: Any) -> None:
            pipe.multi()
            self.qos._remove_from_indices(delivery_tag, pipe)
            self._do_restore_message(payload, exchange, routing_key, pipe)

        with self.conn_or_acquire() as client:
            client.transaction(restore)


class Transport(kombu_redis.Transport):  # type: ignore[misc]
    """kombu's Redis transport with these channels."""

    Channel = Channel
