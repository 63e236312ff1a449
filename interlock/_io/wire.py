"""How calls reach Redis: a few connections of a session's own, and one for commands whose replies nobody awaits.

The client's own pool is left to its owner: a hundred threads that ask at once must not exhaust it, and a call costs
less without redis-py's layers for pools, retries and metrics. They come in when a call fails: every call of ours may
be sent twice. What is different on a Redis Cluster stands in _io/cluster.py.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeAlias

import redis
from redis.client import PubSub
from redis.cluster import RedisCluster
from redis.exceptions import NoScriptError

from interlock._io import refusals

CONNECTIONS_MAX = 16  # a process and server; who comes later waits for one to be free, a round trip or so
KEPT_MAX = 2  # connections on which nobody awaits replies, a server
RESENDING_MAX = 64  # threads that send again at once: fewer than the 100 connections that redis-py allows a pool
UNANSWERED = (redis.ConnectionError, redis.TimeoutError, OSError)
OURS: dict[str, Any] = {"encoding": "utf-8", "encoding_errors": "strict"}  # whatever the client's: so spelt are keys

Client: TypeAlias = redis.Redis | RedisCluster
Command = tuple[str | float, ...]
log = logging.getLogger("interlock")


def packed(command: Command) -> bytes:
    """A command as Redis reads it (RESP): redis-py's own packing costs as much as sending."""
    words = [str(word).encode() for word in command]
    return b"*%d\r\n%b" % (len(words), b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words))


def _send(connection: Any, data: bytes) -> None:
    if not connection.is_connected:
        connection.connect()  # which asks Sentinel where to; sending alone would not
    connection.send_packed_command([data])


def demoted(reply: object) -> bool:
    """Whether a server has answered that it is a replica by now."""
    return refusals.word_of(reply) == "READONLY"


def places(n: int) -> "SimpleQueue[None]":
    """A semaphore that a signal handler may interrupt: `get` takes a place, `put` gives it back."""
    free: SimpleQueue[None] = SimpleQueue()
    for _ in range(n):
        free.put(None)
    return free


class Line:
    """A few connections to one server, or to whoever is the master that Sentinel names."""

    def __init__(self, pool: redis.ConnectionPool) -> None:
        self.client = redis.Redis(
            connection_pool=redis.ConnectionPool(
                connection_class=pool.connection_class, **{**pool.connection_kwargs, **OURS}
            )
        )
        self.left = 0  # how often its server turned out to be a replica by now
        self._free: deque[Any] = deque()
        self._unmade = deque(range(CONNECTIONS_MAX))
        self._beyond: list[Any] = []  # made by who may wait for no free one: as many as do so at once
        self._spare: deque[Any] = deque()  # those of them that are free
        self._waiting: deque[Any] = deque()  # a lock for each thread that waits for a free connection, held until then

    @property
    def open(self) -> bool:
        """Whether a command can be sent without connecting first."""
        return bool(self._free)

    def connection(self) -> Any:
        """A new connection, set up as the client's own are."""
        pool = self.client.connection_pool
        return pool.connection_class(**pool.connection_kwargs)

    def call(self, *command: str | float) -> Any:
        """One command, one round trip, one try."""
        try:
            connection = self._free.pop()
        except IndexError:
            connection = self._another()
        try:
            _send(connection, packed(command))
            return connection.read_response()
        except redis.ResponseError as error:
            if demoted(error):
                connection.disconnect()
                raise self.leave() from error
            raise
        except BaseException:  # interrupted between request and reply: what comes next is not the next one's reply
            connection.disconnect()
            raise
        finally:
            self._give(connection)

    def leave(self) -> redis.ConnectionError:
        """Its server is a replica by now: what connects from here on connects anew. The error that says so."""
        self.left += 1
        self.client.connection_pool.disconnect(inuse_connections=False)
        return redis.ConnectionError("the master is a replica by now")

    def sent(self, commands: Sequence[Command]) -> Any:
        """Send them; the connection on which `replies` then reads. Waits for no other caller's: leases depend on it."""
        connection = self._at_once()
        try:
            _send(connection, b"".join(packed(command) for command in commands))
        except BaseException:
            connection.disconnect()
            self._give(connection)
            raise
        return connection

    def replies(self, connection: Any, n: int) -> list[Any]:
        """What comes back; an error of Redis is its command's reply."""
        answers: list[Any] = []
        try:
            for _ in range(n):
                try:
                    answers.append(connection.read_response())
                except redis.ResponseError as error:
                    answers.append(error)
        except BaseException:
            connection.disconnect()
            raise
        finally:
            self._give(connection)
        return answers

    def close(self) -> None:
        """Close what nobody uses. A connection that is used again connects again."""
        for kept in (self._free, self._spare):
            free = [kept.pop() for _ in range(len(kept))]
            for connection in free:
                connection.disconnect()
            kept.extend(free)
        self.client.connection_pool.disconnect(inuse_connections=False)

    def _at_once(self) -> Any:
        """A connection that is free, or one more."""
        for kept in (self._free, self._spare):
            with suppress(IndexError):
                return kept.pop()
        with suppress(IndexError):
            self._unmade.pop()
            return self.connection()
        connection = self.connection()
        self._beyond.append(connection)
        return connection

    def _give(self, connection: Any) -> None:
        if connection in self._beyond:
            self._spare.append(connection)
            return
        self._free.append(connection)
        if self._waiting:
            self._wake_one()

    def _wake_one(self) -> None:
        with suppress(IndexError):
            self._waiting.popleft().release()

    def _another(self) -> Any:
        """A new connection, or one that another caller gives back. There is no mutex: see `_holding/mutex.py`."""
        with suppress(IndexError):
            self._unmade.pop()
            return self.connection()
        while True:
            signal = threading.Lock()
            signal.acquire()
            self._waiting.append(signal)
            try:
                with suppress(IndexError):
                    return self._free.pop()
                signal.acquire()
            finally:
                try:
                    self._waiting.remove(signal)
                except ValueError:  # it was woken: if it does not take what is free, or more is, another may
                    if self._free:
                        self._wake_one()


class Wire:
    """Connections to the Redis of one client; it is not kept, and its owner may close it."""

    cut = False  # whether a call got no answer since the servers were looked at: one may have been restarted
    mark = ""  # what session ids end with: attempt.lua's `tell` knows by it what a count of listeners is worth

    def __init__(self, client: redis.Redis) -> None:
        self._line = Line(client.connection_pool)
        self._resending = places(RESENDING_MAX)

    @property
    def client(self) -> Client:
        """A client of the session's own, for what is rare."""
        return self._line.client

    @property
    def left(self) -> int:
        """Grows when a server turned out to be a replica: there, listeners are not counted."""
        return self._line.left

    def servers(self) -> list[redis.Redis]:
        """A client for each server that keeps state."""
        return [self._line.client]

    def serves(self, server: redis.Redis, key: str) -> bool:  # noqa: ARG002 - on a Cluster, one of them does
        """Whether that server is the one where the key is."""
        return True

    def line(self, command: Command) -> Line:  # noqa: ARG002 - on a Cluster it says where
        """The way to the server that a command is for."""
        return self._line

    def call(self, *command: str | float) -> Any:
        """One command, one round trip; sent again if it gets no answer, or is refused for now.

        Raises what redis-py raises, and `PassingRefusalError`.
        """
        try:
            return self._line.call(*command)
        except redis.AuthenticationError:
            raise
        except UNANSWERED:
            self.cut = True
        except redis.ResponseError as error:
            if refusals.word_of(error) is None:
                raise
        return self._again(command)

    def _again(self, command: Command) -> Any:
        rests = iter(refusals.REPEATS)
        self._resending.get()
        try:
            while True:
                try:
                    return self.client.execute_command(*command)  # type: ignore[no-untyped-call]
                except (redis.ResponseError, redis.BusyLoadingError) as error:
                    refusal, rest = refusals.passing(error), next(rests, None)
                    if refusal is None:
                        raise
                    if rest is None:
                        raise refusal from error
                    time.sleep(rest)
        finally:
            self._resending.put(None)

    def batch(self, commands: Sequence[Command]) -> list[Any]:
        """Many in one round trip and one try; an error of Redis is its command's reply."""
        try:
            answers = self._line.replies(self._line.sent(commands), len(commands))
        except UNANSWERED:
            self.cut = True
            raise
        if any(map(demoted, answers)):
            raise self._line.leave()
        return answers

    def load(self, script: str) -> None:
        """Have every server know a script."""
        self._line.client.script_load(script)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self._line.close()

    def pubsub(self) -> PubSub:
        """A subscription that is not open yet."""
        return self._line.client.pubsub()  # type: ignore[no-untyped-call, no-any-return]


@dataclass(eq=False)
class Posted:
    """The connection of an outbox to one server."""

    connection: Any
    unread: int = 0  # replies


class Outbox:
    """Sends commands without awaiting their replies. What is lost here, the heartbeat makes up for."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._posted: dict[Line, deque[Posted]] = {}  # those that nobody uses, up to KEPT_MAX a server
        self._opening: dict[Line, object] = {}  # one that connects ahead of time does so for all
        self.forgotten = False  # a server did not know a script

    def opened(self, command: tuple[str | int, ...]) -> bool:
        """Whether such a command can be sent without connecting first."""
        try:
            free = self._posted.get(self._wire.line(command), ())
        except UNANSWERED:  # `send` will say so
            return True
        return any(posted.connection.is_connected for posted in list(free))

    def open(self, command: tuple[str | int, ...]) -> None:
        """Connect to where such a command will be sent: that takes round trips."""
        mark = object()
        try:
            line = self._wire.line(command)
            if self._opening.setdefault(line, mark) is not mark:
                return
            try:
                posted = self._taken(line)
                try:
                    if not posted.connection.is_connected:
                        posted.connection.connect()
                except BaseException:  # perhaps amid its first commands
                    posted.connection.disconnect()
                    raise
                finally:
                    self._keep(line, posted)
            finally:
                del self._opening[line]
        except UNANSWERED as error:
            log.info("not connected ahead of time: %s", error)

    def _taken(self, line: Line) -> Posted:
        """A connection for the caller alone, until it says `_keep`."""
        try:
            return self._posted.setdefault(line, deque()).pop()
        except IndexError:
            return Posted(line.connection())

    def _keep(self, line: Line, posted: Posted) -> None:
        free = self._posted[line]
        if len(free) < KEPT_MAX:
            free.append(posted)
        else:
            posted.connection.disconnect()

    def send(self, command: tuple[str | int, ...]) -> None:
        """Send one command; failures are logged."""
        try:
            line = self._wire.line(command)
            posted = self._taken(line)
            try:
                while posted.unread and posted.connection.can_read(timeout=0):
                    posted.unread -= 1
                    self._read(posted.connection)
                _send(posted.connection, packed(command))
                posted.unread += 1
            except BaseException:
                posted.connection.disconnect()
                posted.unread = 0
                raise
            finally:
                self._keep(line, posted)
        except UNANSWERED as error:
            log.warning("a command was not sent: %s", error)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        for free in list(self._posted.values()):
            for posted in list(free):
                posted.connection.disconnect()
                posted.unread = 0

    def _read(self, connection: Any) -> None:
        try:
            connection.read_response()
        except NoScriptError:
            self.forgotten = True
        except redis.ResponseError as error:
            log.warning("a command failed: %s", error)
            if demoted(error):
                raise redis.ConnectionError("the master is a replica by now") from error
