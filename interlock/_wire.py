"""How calls reach Redis: a few connections of a session's own, and one for commands whose replies nobody awaits.

The client's own pool is left to its owner: a hundred threads that ask at once must not exhaust it, and a call costs
less without redis-py's layers for pools, retries and metrics. They come in when a call fails: every call of ours may
be sent twice.
"""

import logging
import threading
from collections import deque
from typing import Any

import redis
from redis.exceptions import NoScriptError

CONNECTIONS_MAX = 16  # a process; who comes later waits for one to be free, a round trip or so
UNANSWERED = (redis.ConnectionError, redis.TimeoutError, OSError)

log = logging.getLogger("interlock")


def packed(command: tuple[str | float, ...]) -> bytes:
    """A command as Redis reads it (RESP): redis-py's own packing costs as much as sending."""
    words = [str(word).encode() for word in command]
    return b"*%d\r\n%b" % (len(words), b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words))


class Wire:
    """Connections to the Redis of one client; it is not kept, and its owner may close it."""

    def __init__(self, client: redis.Redis) -> None:
        pool = client.connection_pool
        self.client = redis.Redis(
            connection_pool=redis.ConnectionPool(connection_class=pool.connection_class, **pool.connection_kwargs)
        )
        self._free: deque[Any] = deque()
        self._made = 0
        self._waiting = 0  # threads that wait for a free connection; set before they look, so that none is missed
        self._mutex = threading.Lock()
        self._returned = threading.Condition(self._mutex)

    def connection(self) -> Any:
        """A new connection, set up as the client's own are."""
        pool = self.client.connection_pool
        return pool.connection_class(**pool.connection_kwargs)

    def call(self, *command: str | float) -> Any:
        """One command, one round trip."""
        try:
            connection = self._free.pop()
        except IndexError:
            connection = self._another()
        try:
            connection.send_packed_command([packed(command)])
            return connection.read_response()
        except redis.ResponseError:
            raise
        except UNANSWERED:
            connection.disconnect()
        except BaseException:  # interrupted between request and reply: what comes next is not the next one's reply
            connection.disconnect()
            raise
        finally:
            self._free.append(connection)
            if self._waiting:
                with self._mutex:
                    self._returned.notify()
        return self.client.execute_command(*command)  # type: ignore[no-untyped-call]

    def _another(self) -> Any:
        with self._mutex:
            if self._made < CONNECTIONS_MAX:
                self._made += 1
                return self.connection()
            self._waiting += 1
            try:
                while True:
                    try:
                        return self._free.pop()
                    except IndexError:
                        self._returned.wait()
            finally:
                self._waiting -= 1


class Outbox:
    """Sends commands without awaiting their replies. What is lost here, the heartbeat makes up for."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._connection: Any = None
        self._mutex = threading.Lock()
        self._unread = 0
        self.forgotten = False  # the server did not know a script

    def send(self, command: tuple[str | int, ...]) -> None:
        """Send one command; failures are logged."""
        with self._mutex:
            try:
                if self._connection is None:
                    self._connection = self._wire.connection()
                while self._unread and self._connection.can_read(timeout=0):
                    self._unread -= 1
                    self._read()
                self._connection.send_packed_command([packed(command)])
                self._unread += 1
            except UNANSWERED as error:
                log.warning("a command was not sent: %s", error)
                self._connection.disconnect()
                self._unread = 0

    def _read(self) -> None:
        try:
            self._connection.read_response()
        except NoScriptError:
            self.forgotten = True
        except redis.ResponseError as error:
            log.warning("a command failed: %s", error)
