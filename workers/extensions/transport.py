"""kombu's Redis transport, with workers that outlive an outage of Redis without running a task twice.

With kombu 5.7.0 a worker whose connection breaks gives its running tasks back to their queue as soon as it can, and so
they run twice; or it ends with an AttributeError, when another connection breaks before the one on which it waits for
tasks (a channel whose closing failed is closed again when its address is forgotten). And what was running cannot be
acknowledged any more: its channel is closed. A Redis that refuses (it is full, say) ends the worker; the message that
it was about to take is lost.

Here a channel whose connection was lost gives back only what has not begun (`consumer` says what that is), and
acknowledges over another connection: in Redis any may. What Redis refuses for now counts as a lost connection, but for
a message that it cannot note as received: that waits to be put back, and no other is taken meanwhile. What a worker had
that vanishes comes back as ever.
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
from workers.extensions.owed import owe, owes

log = logging.getLogger(__name__)


def install() -> None:
    """Use this transport for `redis://` and `rediss://`."""
    for scheme in ("redis", "rediss"):
        kombu.transport.TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"


class RefusedError(redis.exceptions.ConnectionError):
    """Redis refuses for now: as good as away."""


@contextmanager
def refusals_as_losses() -> Iterator[None]:
    """Raise RefusedError where Redis refuses for now: a worker connects again until it is served."""
    try:
        yield
    except redis.exceptions.ResponseError as error:
        if refused_for_now(error):
            raise RefusedError(str(error)) from error
        raise


class HeldBackError(Exception):
    """A message that Redis had no room to note as received waits to be put back."""


class UnreadableError(Exception):
    """What lay in a queue is no message."""


class Message(virtual.Message):  # type: ignore[misc]
    """A message; what is wrong with it is an error of its own kind, and ends nothing."""

    def __init__(self, payload: Any, channel: Any = None, **options: Any) -> None:
        try:
            super().__init__(payload, channel=channel, **options)
            self.delivery_info["exchange"], self.delivery_info["routing_key"]  # a channel needs both
        except Exception as error:
            raise UnreadableError(f"this is no message of a task: {error!r:.200}") from error

    def _decode(self) -> Any:
        """As kombu's: the body. An argument's constructor may raise anything."""
        try:
            return super()._decode()
        except BaseException as error:
            instead = exits.contained(error)
            if instead is None:
                raise
            raise DecodeError(str(instead)) from error


class QoS(kombu_redis.QoS):  # type: ignore[misc]
    """The messages that a channel has and has not acknowledged. What cannot be noted as such is not lost."""

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note a message that was taken off its queue. If that fails, it goes back."""
        try:
            with refusals_as_losses():
                super().append(message, delivery_tag)
        except self.channel.connection_errors as error:
            payload, where = message._raw, message.delivery_info
            owe(lambda channel: channel.put_back(delivery_tag, payload, where["exchange"], where["routing_key"]))
            if isinstance(error, RefusedError):  # the connection is as good as before
                raise HeldBackError from error
            raise
        except Exception as error:  # such as headers that are nested too deeply
            raise UnreadableError(f"this message cannot be noted: {error!r:.200}") from error

    def can_consume(self) -> bool:
        """As kombu's, and Redis is owed nothing: a message that it cannot note as received is in this process alone."""
        return not owes() and bool(super().can_consume())

    def restore_visible(self, *arguments: Any, **options: Any) -> None:
        """As kombu's: messages of vanished workers go back, a little later if Redis refuses now."""
        try:
            super().restore_visible(*arguments, **options)
        except RefusedError as error:
            log.debug("messages of vanished workers go back later: %s", error)


class Channel(kombu_redis.Channel):  # type: ignore[misc]
    """A channel whose messages can be acknowledged after it has lost its connection."""

    QoS = QoS
    Message = Message
    _kept: tuple[Any, Any] | None = None  # a pool of connections, and the client over it

    def __init__(self, *arguments: Any, **options: Any) -> None:
        with refusals_as_losses():
            super().__init__(*arguments, **options)

    def _create_client(self, asynchronous: bool = False) -> Any:
        """As kombu's, which makes a client for each command; that takes longer than the command."""
        if asynchronous:
            return super()._create_client(asynchronous)
        pool = self.pool
        if self._kept is None or self._kept[0] is not pool:
            self._kept = pool, super()._create_client()
        return self._kept[1]

    @contextmanager
    def conn_or_acquire(self, client: Any = None) -> Iterator[Any]:
        """As kombu's: a client."""
        with refusals_as_losses(), super().conn_or_acquire(client) as found:
            yield found

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        """As kombu's. A worker that comes back to a full Redis goes without: its queues are bound already."""
        try:
            super()._queue_bind(exchange, routing_key, pattern, queue)
        except RefusedError as error:
            log.warning("queue %s could not be bound anew: %s", queue, error)

    def _brpop_read(self, **options: Any) -> bool:
        """As kombu's; what is no message becomes a dead letter."""
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
            owe(lambda _: dead_letters.keep(letter))

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
        """Acknowledge a message; over another connection, soon, if this channel's was lost."""
        self._settle(delivery_tag, lambda channel: channel.qos.ack(delivery_tag))

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Give a message back, or drop it; over another connection, soon, if this channel's was lost."""
        self._settle(delivery_tag, lambda channel: channel.qos.reject(delivery_tag, requeue=requeue))

    def _settle(self, delivery_tag: str, debt: Callable[[Any], None]) -> None:
        if not self.closed:
            try:
                with refusals_as_losses():
                    debt(self)
                return
            except self.connection_errors:
                pass
        self.settle_later(delivery_tag, debt)

    def settle_later(self, delivery_tag: str, debt: Callable[[Any], None]) -> None:
        """Have a message acknowledged soon by what is owed; this channel counts it no longer, nor gives it back."""
        if not self.closed:
            virtual.QoS.ack(self.qos, delivery_tag)
        owe(debt)

    def put_back(self, delivery_tag: str, payload: Any, exchange: str, routing_key: str) -> None:
        """Put a message that was taken off its queue there again, and only there."""

        def restore(pipe: Any) -> None:
            pipe.multi()
            self.qos._remove_from_indices(delivery_tag, pipe)
            self._do_restore_message(payload, exchange, routing_key, pipe)

        with self.conn_or_acquire() as client:
            client.transaction(restore)


class Transport(kombu_redis.Transport):  # type: ignore[misc]
    """Redis, with such channels."""

    Channel = Channel
