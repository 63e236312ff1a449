"""The channel, as kombu sees it: it takes messages by `lua/take.lua`, and puts them on queues by `lua/put.lua`.

kombu waits for messages by BRPOP on the queues. This channel waits by BRPOP on their wake-up lists. It sends the script
that takes right behind the BRPOP, so that a message still arrives within one round trip. A wake-up list has one element
at most. A consumer that takes it, and leaves messages in the queue, puts it back: so one consumer wakes the next, and
no message wakes them all. A plain producer wakes nobody; its messages are found when the BRPOP ends, after a second.

If a channel loses its connection, its messages stay: they belong to the process (`deliveries.py`), not to the channel.
A refusal for a reason that passes counts as a lost connection, except that a worker waits for a full server.
"""

import base64
import json
import logging
import os
import socket
import time
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty
from time import monotonic
from typing import Any

import redis
from kombu.exceptions import DecodeError
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import dumps, loads
from redis.exceptions import NoScriptError, ResponseError

from interlock._text import printable
from tasks.celery_app import exits, unique
from tasks.celery_app.outage import refused_for_now
from tasks.celery_app.schedule import moment
from tasks.transport import scripts
from tasks.transport.deliveries import Deliveries, Limits, deliveries_at

log = logging.getLogger(__name__)

REASON_MAX = 10_000  # characters of a reason
TAKE_MAX = 100  # messages in one request
SOON = 1.0  # seconds: a message that is due sooner waits in its worker, which is more exact than a sweep
REFUSED_PAUSE = 0.5  # seconds until a worker asks again whose request a full server refused


class RefusedError(redis.exceptions.ConnectionError):
    """Redis refuses for a reason that passes: it counts as away."""


@contextmanager
def refusals_as_losses() -> Iterator[None]:
    """Raise RefusedError where Redis refuses for a reason that passes: a worker then reconnects until served."""
    try:
        yield
    except ResponseError as error:
        if refused_for_now(error):
            raise RefusedError(str(error)) from error
        raise


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


class QoS(virtual.QoS):  # type: ignore[misc]
    """The messages that came by one channel and are not settled. A delivery's token is its tag."""

    more_room: Any = None
    """Returns how many messages the consumer has room for; None: as many as the prefetch count says."""

    def can_consume(self) -> bool:
        """Whether the channel may take a message."""
        return monotonic() >= self.channel.ask_again_at and bool(super().can_consume())

    def room(self) -> int:
        """How many messages the channel may take."""
        left = [TAKE_MAX]
        if self.prefetch_count:
            left.append(self.prefetch_count - (len(self._delivered) - len(self._dirty)))
        if self.more_room is not None:
            left.append(self.more_room())
        return max(1, min(left))

    def forget(self, delivery_tag: str) -> None:
        """Count a message no more: it is settled, or will be, by other means."""
        super().ack(delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message: the process does so in Redis soon."""
        self.channel.deliveries.acknowledge(delivery_tag)
        self.forget(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Give a message back to its queue, or drop it."""
        if requeue:
            self.channel.deliveries.give_back(delivery_tag)
        else:
            self.channel.deliveries.acknowledge(delivery_tag)
        self.forget(delivery_tag)

    def restore_unacked(self) -> list[Any]:
        """Give all messages of this channel back; none fails here, for the process tells Redis later."""
        self._flush()
        for tag in self._delivered:
            self.channel.deliveries.give_back(tag)
        self._delivered.clear()
        return []

    def restore_visible(self, *_: Any, **__: Any) -> None:
        """Do nothing: the process sweeps, see `deliveries.py`."""


@dataclass(frozen=True)
class Asked:
    """A request under way."""

    lists: tuple[tuple[str, str], ...] = ()  # queues, and their lists
    room: int = 0
    noted: bool = True
    waits: bool = False  # a BRPOP stands before it


class Channel(kombu_redis.Channel):  # type: ignore[misc]
    """A channel over the scripts."""

    QoS = QoS
    Message = Message
    visibility_timeout = Limits.timeout
    deliveries_max = Limits.deliveries_max
    dead_letters_max = Limits.letters_max
    dead_letters_seconds = Limits.letters_seconds
    from_transport_options = (
        *kombu_redis.Channel.from_transport_options,
        *("deliveries_max", "dead_letters_max", "dead_letters_seconds"),
    )

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.ask_again_at = 0.0  # on time.monotonic()
        self._unnoted: set[str] = set()  # queues whose messages need no acknowledgement
        self._drained = False  # the last request found less than it had room for
        self._asked = Asked()
        self._known = False  # the server knows the script
        self._told: set[str] = set()  # what the log says: lists that cannot be used, and refusals
        self.consumer_name = f"{os.getpid()}@{socket.gethostname()}"  # for the log and the dead letters
        self._kept: tuple[Any, Any, Any] | None = None  # a pool of connections, and two clients over it
        with refusals_as_losses():
            super().__init__(*arguments, **options)
        self.keys = scripts.Keys(self.global_keyprefix, self.sep)
        limits = Limits(
            float(self.visibility_timeout), int(self.deliveries_max), int(self.dead_letters_max),
            float(self.dead_letters_seconds),
        )  # fmt: skip
        url = self.connection.client.as_uri(include_password=True)
        self.deliveries: Deliveries = deliveries_at(url, self._connect_deliveries, self.keys, limits)

    def _connect_deliveries(self) -> redis.Redis:
        return redis.Redis(connection_pool=self._get_pool())

    # --- clients ---

    def _clients(self) -> tuple[Any, Any, Any]:
        pool = self.pool
        if self._kept is None or self._kept[0] is not pool:
            self._kept = pool, super()._create_client(), redis.Redis(connection_pool=pool)
        return self._kept

    def _create_client(self, asynchronous: bool = False) -> Any:
        """Return a client, and reuse it: kombu makes one for each command, which takes longer than the command."""
        return super()._create_client(asynchronous) if asynchronous else self._clients()[1]

    @property
    def plain_client(self) -> redis.Redis:
        """A client that adds no prefix to keys."""
        client: redis.Redis = self._clients()[2]
        return client

    @contextmanager
    def conn_or_acquire(self, client: Any = None) -> Iterator[Any]:
        """Yield a client, as kombu does."""
        with refusals_as_losses(), super().conn_or_acquire(client) as found:
            yield found

    # --- putting ---

    def _put(self, queue: str, message: Any, **options: Any) -> None:
        """Put a message on its queue, or among the delayed ones until it is due. It carries when it was put first."""
        stamp(message)
        list_ = self.global_keyprefix + self._q_for_pri(queue, self._get_message_priority(message))
        wake, due = self.keys.wake(queue), _due_ms(message)
        keys: tuple[str, ...] = (list_, wake, self.keys.delayed)
        arguments: tuple[Any, ...] = (dumps(message), due or "", scripts.where(list_, wake) if due else "")
        claim = unique.claim_of(message["headers"])
        if claim is not None:
            id = message["headers"]["id"]
            kept = int(unique.NAME_KEPT * 1000) + max(0, (due or 0) - int(time.time() * 1000))
            holder = scripts.run("put_unique", self.plain_client, (*keys, claim.key), (*arguments, id, kept)).decode()
            claim.holder = None if holder == id else holder
            return
        batch = options.pop("_publish_batch", None)
        expires = self._expires.get(queue)
        if batch is not None:
            batch.add("eval", scripts.script("put").text, len(keys), *keys, *arguments)
            for priority in self.priority_steps if expires else ():
                batch.add("pexpire", self._q_for_pri(queue, priority), expires)
            return
        scripts.run("put", self.plain_client, keys, arguments)
        if expires:
            with self.conn_or_acquire() as client:
                self._maybe_update_queues_expire(client, queue)

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        """Bind a queue, as kombu does. A worker that reconnects to a full Redis need not: its queues are bound."""
        try:
            super()._queue_bind(exchange, routing_key, pattern, queue)
        except RefusedError as error:
            log.warning("queue %s could not be bound anew: %s", queue, error)

    def _size(self, queue: str) -> int:
        """Return how many messages a queue has. A list of a wrong type has none: else no other could be used either."""
        with self.conn_or_acquire() as client, client.pipeline(transaction=False) as pipe:
            for priority in self.priority_steps:
                pipe.llen(self._q_for_pri(queue, priority))
            sizes = pipe.execute(raise_on_error=False)
            for size in sizes:
                if isinstance(size, Exception) and "WRONGTYPE" not in str(size):
                    raise size
            return sum(size for size in sizes if isinstance(size, int))

    # --- taking ---

    def basic_consume(self, queue: str, no_ack: bool, *arguments: Any, **options: Any) -> Any:
        """Begin to consume from a queue."""
        if no_ack:
            self._unnoted.add(queue)
        elif queue not in self._fanout_queues:
            self._unnoted.discard(queue)
            self.deliveries.begin()
        self._drained = False
        return super().basic_consume(queue, no_ack, *arguments, **options)

    def basic_get(self, queue: str, no_ack: bool = False, **_: Any) -> Any:
        """Return a message, or None if the queue is empty."""
        lists = [(queue, self._q_for_pri(queue, priority)) for priority in self.priority_steps]
        asked = Asked(tuple(lists), room=1, noted=not no_ack)
        if not no_ack:
            self.deliveries.begin()
        taken, failed = scripts.run("take", self.plain_client, *self._request(asked))
        self._tell_of(asked, failed)
        for each in self._held(asked, taken):
            payload = self._payload(asked, each)
            try:
                message = None if payload is None else self.Message(payload, channel=self)
            except UnreadableError as error:
                self._bury(each[1].decode(), queue, error)
                return None
            if message is not None and not no_ack:
                self.qos.append(message, message.delivery_tag)
            return message
        return None

    def _request(self, asked: Asked) -> tuple[list[str], list[Any]]:
        """Return the keys and the arguments of `take.lua`."""
        keys = self.keys.noted
        keys += [self.global_keyprefix + list_ for _, list_ in asked.lists]
        keys += [self.keys.wake(queue) for queue, _ in asked.lists]
        noted = "noted" if asked.noted else "not noted"
        return keys, [uuid.uuid4().hex, asked.room, self.deliveries.limits.timeout_ms, self.consumer_name, noted]

    def _brpop_start(self, timeout: float | None = None) -> None:
        """Ask for messages. If there were too few at the last time, wait first until there are more."""
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues:
            return
        lists = tuple((queue, self._q_for_pri(queue, each)) for each in self.priority_steps for queue in queues)
        noted = any(queue not in self._unnoted for queue in queues)
        room = self.qos.room() if noted else 1  # who waits for answers of workers counts them, one by one
        asked = self._asked = Asked(lists, room, noted, waits=self._drained)
        keys, arguments = self._request(asked)
        take = scripts.script("take")
        script = ("EVALSHA", take.digest) if self._known else ("EVAL", take.text)
        commands: list[tuple[Any, ...]] = [(*script, len(keys), *keys, *arguments)]
        if asked.waits:
            wakes = [self.keys.wake(queue) for queue in queues]
            commands.insert(0, ("BRPOP", *wakes, (self.brpop_timeout if timeout is None else timeout) or 0))
        connection = self.client.connection
        self._in_poll, self._brpop_sent_at = connection, monotonic()
        connection.send_packed_command(connection.pack_commands(commands))

    def _brpop_read(self, **_: Any) -> bool:
        """Read what the last request brought, and deliver it. Raises Empty if that is nothing."""
        asked, connection = self._asked, self.client.connection
        try:
            with refusals_as_losses():
                taken, failed = self._replies(connection, asked.waits)
                taken = self._still_ours(taken)
        except (RefusedError, ResponseError) as error:
            if isinstance(error.__cause__, redis.exceptions.ReadOnlyError):  # another server is the primary now
                connection.disconnect()
                raise
            self.ask_again_at = monotonic() + REFUSED_PAUSE
            if str(error) not in self._told:
                self._told.add(str(error))
                log.error("tasks wait, for Redis refuses to note them as received: %s", error)
            raise Empty from error
        except self.connection_errors:
            connection.disconnect()
            raise
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        self._tell_of(asked, failed)
        self._drained = len(taken) < asked.room and self._known
        if not taken:
            raise Empty
        rest = self._held(asked, taken)
        try:
            while rest and not self._closing:  # a worker forgets what comes while its channel closes
                self._deliver(asked, rest[0])
                rest.popleft()
        finally:
            for _, token, _, _ in rest:  # no consumer has seen these, or the first one in part only
                self.deliveries.give_back(token.decode())
        return True

    def _replies(self, connection: Any, waits: bool) -> tuple[list[Any], list[Any]]:
        """Read the replies to a BRPOP, if there was one, and to `take.lua`, also if the first one is an error."""
        trouble = None
        if waits:
            try:
                connection.read_response()
            except ResponseError as error:
                trouble = error
        try:
            taken, failed = connection.read_response()
        except NoScriptError:  # the server has started again
            self._known = False
            return [], []
        self._known = True
        if trouble is not None and not taken:
            raise trouble
        return taken, failed

    def _still_ours(self, taken: list[Any]) -> list[Any]:
        """Leave out what has gone back meanwhile: this process may have stood still since it asked."""
        if monotonic() - (self._brpop_sent_at or 0.0) < self.deliveries.limits.timeout / 3 or not self._asked.noted:
            return taken
        gone = self.deliveries.renew(self.plain_client, [token.decode() for _, token, _, _ in taken])
        return [each for each in taken if each[1].decode() not in gone]

    def _tell_of(self, asked: Asked, failed: list[Any]) -> None:
        """Say once that a queue cannot be used."""
        names = {asked.lists[number - 1][1]: bytes_to_str(error) for number, error in failed}
        for name in names.keys() - self._told:
            log.error("queue %s cannot be used, other queues can: %s", name, names[name])
        self._told = set(names)

    def _held(self, asked: Asked, taken: Sequence[Any]) -> deque[Any]:
        """Have the process renew these deliveries from now on, and return them."""
        if asked.noted:
            for _, token, _, _ in taken:
                self.deliveries.hold(token.decode())
        return deque(taken)

    def _deliver(self, asked: Asked, taken: Any) -> None:
        """Deliver a message to its consumer."""
        queue, token = asked.lists[taken[0] - 1][0], taken[1].decode()
        self._queue_cycle.rotate(queue)
        payload = self._payload(asked, taken)
        if payload is None:
            return
        if queue in self._unnoted:
            self.deliveries.acknowledge(token)
        try:
            self.connection._deliver(payload, queue)
        except UnreadableError as error:
            self._bury(token, queue, error)

    def _payload(self, asked: Asked, taken: Any) -> Any:
        """Return a message as kombu knows it, with the token as its tag; None, and it is buried, if it is none."""
        number, token, item, earlier = taken
        try:
            payload = loads(bytes_to_str(item))
            payload["properties"]["delivery_tag"] = token.decode()
            if earlier:
                payload["headers"]["redelivered"] = True
                payload["properties"]["delivery_info"]["redelivered"] = True
            return payload
        except Exception as error:
            unreadable = UnreadableError(f"this is no message of a task: {error!r:.200}")
            self._bury(token.decode(), asked.lists[number - 1][0], unreadable, item)
            return None

    def _bury(self, token: str, queue: str, error: Exception, item: bytes = b"") -> None:
        log.error("what lay in queue %s cannot be run: %s", queue, error)
        try:
            item.decode()
            self.deliveries.bury(token, reason_of(error))
        except UnicodeDecodeError:
            self.deliveries.bury(token, reason_of(error, base64=base64.b64encode(item).decode()))

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


def reason_of(error: BaseException, **more: Any) -> str:
    """Return the JSON object of a dead letter that says why, where and when the message was refused."""
    said = {"reason": f"{type(error).__name__}: {error}"[:REASON_MAX], **more, "host": socket.gethostname()}
    texts = {key: None if value is None else printable(str(value)) for key, value in said.items()}
    return json.dumps({**texts, "seconds": time.time()})


def stamp(message: Any) -> None:
    """Note in a message when it was put on its queue first. AMQP has a property of that name, too."""
    message["properties"].setdefault("timestamp", round(time.time(), 3))


def _due_ms(message: Any) -> int | None:
    """Return when a message is due, in ms since 1970; None: within SOON, or its due time is none."""
    try:
        due = moment(message["headers"]["eta"]).timestamp()
    except (LookupError, TypeError, OverflowError):
        return None
    return int(due * 1000) if due > time.time() + SOON else None


class Transport(kombu_redis.Transport):  # type: ignore[misc]
    """kombu's Redis transport with these channels."""

    Channel = Channel
