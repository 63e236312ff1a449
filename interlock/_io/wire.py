"""How calls reach Redis: a few connections of the session's own, and one for commands whose replies no thread awaits.

The session leaves the client's own pool to the owner of the client: a hundred threads that ask at once must not exhaust
it. A call also costs less without redis-py's layers for pools, retries and metrics. A call goes through those layers
only after it has failed, since every call of ours may be sent twice. _io/cluster.py has what differs on a Redis
Cluster.
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

CONNECTIONS_MAX = 16  # for a process and a server; the next caller waits for a free one, about a round trip
KEPT_MAX = 2  # idle connections that an outbox keeps for each server
RESENDING_MAX = 64  # threads that resend at once: fewer than the 100 connections of a redis-py pool
UNANSWERED = (redis.ConnectionError, redis.TimeoutError, OSError)
# These settings replace the client's: our keys are spelt in UTF-8, whatever the client uses.
OURS: dict[str, Any] = {"encoding": "utf-8", "encoding_errors": "strict"}

Client: TypeAlias = redis.Redis | RedisCluster
Command = tuple[str | float, ...]
log = logging.getLogger("interlock")


def packed(command: Command) -> bytes:
    """Return a command as Redis reads it (RESP). redis-py's own packing costs as much as sending."""
    words = [str(word).encode() for word in command]
    return b"*%d\r\n%b" % (len(words), b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words))


def _send(connection: Any, data: bytes) -> None:
    if not connection.is_connected:
        connection.connect()  # this asks Sentinel for the address; to send alone would not
    connection.send_packed_command([data])


def demoted(reply: object) -> bool:
    """Whether a reply says that the server has become a replica."""
    return refusals.word_of(reply) == "READONLY"


def places(n: int) -> "SimpleQueue[None]":
    """Return a semaphore of n places that a signal handler may interrupt: `get` takes a place, `put` gives it back."""
    free: SimpleQueue[None] = SimpleQueue()
    for _ in range(n):
        free.put(None)
    return free


class Line:
    """A few connections to one server, or to whichever server Sentinel names as the master."""

    def __init__(self, pool: redis.ConnectionPool) -> None:
        self.client = redis.Redis(
            connection_pool=redis.ConnectionPool(
                connection_class=pool.connection_class, **{**pool.connection_kwargs, **OURS}
            )
        )
        self.left = 0  # how often its server turned out to be a replica
        self._free: deque[Any] = deque()
        self._unmade = deque(range(CONNECTIONS_MAX))
        # Made for callers that must wait for no free one. There are as many as there were such callers at once.
        self._beyond: list[Any] = []
        self._spare: deque[Any] = deque()  # the free ones of `_beyond`
        # One lock for each thread that waits for a free connection. The lock is held until there is one.
        self._waiting: deque[Any] = deque()

    @property
    def open(self) -> bool:
        """Whether a command can be sent without connecting first."""
        return bool(self._free)

    def connection(self) -> Any:
        """Return a new connection with the settings of the client's own."""
        pool = self.client.connection_pool
        return pool.connection_class(**pool.connection_kwargs)

    def call(self, *command: str | float) -> Any:
        """Send one command and return its answer: one round trip, one try."""
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
        # An interruption came between request and reply: the next reply on this connection is not the next caller's.
        except BaseException:
            connection.disconnect()
            raise
        finally:
            self._give(connection)

    def leave(self) -> redis.ConnectionError:
        """Note that the server has become a replica, so that the next connections are made anew.

        Return the error for it.
        """
        self.left += 1
        self.client.connection_pool.disconnect(inuse_connections=False)
        return redis.ConnectionError("the master is a replica by now")

    def sent(self, commands: Sequence[Command]) -> Any:
        """Send the commands. Return the connection, from which `replies` then reads.

        This waits for no connection that another caller uses, since leases depend on it.
        """
        connection = self._at_once()
        try:
            _send(connection, b"".join(packed(command) for command in commands))
        except BaseException:
            connection.disconnect()
            self._give(connection)
            raise
        return connection

    def replies(self, connection: Any, n: int) -> list[Any]:
        """Return the n replies. If Redis answers a command with an error, its reply is that error."""
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
        """Close the connections that are free. Such a connection connects again when it is used again."""
        for kept in (self._free, self._spare):
            free = [kept.pop() for _ in range(len(kept))]
            for connection in free:
                connection.disconnect()
            kept.extend(free)
        self.client.connection_pool.disconnect(inuse_connections=False)

    def _at_once(self) -> Any:
        """Return a free connection, or make one more."""
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
        """Return a new connection, or wait for one that another caller gives back.

        This takes no mutex: `_holding/mutex.py` says why.
        """
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
                # This thread was woken. If it leaves a connection free, the next thread that waits may take that.
                except ValueError:
                    if self._free:
                        self._wake_one()


class Wire:
    """Connections to the Redis of one client. The wire does not keep that client, and its owner may close it."""

    cut = False  # whether a call got no answer since the session last looked at the servers: one may have restarted
    mark = ""  # the end of the session ids; by it, `tell` in attempt.lua knows what a count of listeners is worth

    def __init__(self, client: redis.Redis) -> None:
        self._line = Line(client.connection_pool)
        self._resending = places(RESENDING_MAX)

    @property
    def client(self) -> Client:
        """A client of the session's own, for rare commands."""
        return self._line.client

    @property
    def left(self) -> int:
        """Grows when a server turned out to be a replica: PUBLISH does not count the listeners at a replica."""
        return self._line.left

    def servers(self) -> list[redis.Redis]:
        """Return a client for each server that keeps state."""
        return [self._line.client]

    def serves(self, server: redis.Redis, key: str) -> bool:  # noqa: ARG002 - on a Cluster, only one server has it
        """Whether that server is the one that has the key."""
        return True

    def line(self, command: Command) -> Line:  # noqa: ARG002 - on a Cluster, its key decides
        """Return the line to the server that a command is for."""
        return self._line

    def call(self, *command: str | float) -> Any:
        """Send one command and return its answer: one round trip.

        The wire sends the command again if no answer comes, or if the server refuses for now.

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
        """Send many commands in one round trip and one try, and return the answers.

        If Redis answers a command with an error, its answer is that error.
        """
        try:
            answers = self._line.replies(self._line.sent(commands), len(commands))
        except UNANSWERED:
            self.cut = True
            raise
        if any(map(demoted, answers)):
            raise self._line.leave()
        return answers

    def load(self, script: str) -> None:
        """Load a script into every server."""
        self._line.client.script_load(script)

    def close(self) -> None:
        """Close the connections that are free."""
        self._line.close()

    def pubsub(self) -> PubSub:
        """Return a subscription that is not open yet."""
        return self._line.client.pubsub()  # type: ignore[no-untyped-call, no-any-return]


@dataclass(eq=False)
class Posted:
    """The connection of an outbox to one server."""

    connection: Any
    unread: int = 0  # replies that nobody has read yet


class Outbox:
    """Sends commands without awaiting their replies. If a command is lost, the heartbeat makes up for it."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._posted: dict[Line, deque[Posted]] = {}  # the idle connections, up to KEPT_MAX for each server
        self._opening: dict[Line, object] = {}  # a thread that connects ahead of time does so for all threads
        self.forgotten = False  # True once a server did not know a script

    def opened(self, command: tuple[str | int, ...]) -> bool:
        """Whether the outbox can send such a command without connecting first."""
        try:
            free = self._posted.get(self._wire.line(command), ())
        except UNANSWERED:  # `send` will report it
            return True
        return any(posted.connection.is_connected for posted in list(free))

    def open(self, command: tuple[str | int, ...]) -> None:
        """Connect to the server that such a command will be sent to: this takes round trips."""
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
                except BaseException:  # an exception may have come amid its first commands
                    posted.connection.disconnect()
                    raise
                finally:
                    self._keep(line, posted)
            finally:
                del self._opening[line]
        except UNANSWERED as error:
            log.info("not connected ahead of time: %s", error)

    def _taken(self, line: Line) -> Posted:
        """Return a connection that the caller has to itself until it calls `_keep`."""
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
        """Send one command. The log has the failures."""
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
        """Close the connections that are free."""
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
