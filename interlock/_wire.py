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


class Wire:
    """Connections to the Redis of one client."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self._free: deque[Any] = deque()
        self._slots = threading.BoundedSemaphore(CONNECTIONS_MAX)

    def connection(self) -> Any:
        """A new connection, set up as the client's own are."""
        pool = self.client.connection_pool
        return pool.connection_class(**pool.connection_kwargs)

    def call(self, *command: str | float) -> Any:
        """One command, one round trip."""
        with self._slots:
            try:
                connection = self._free.pop()
            except IndexError:
                connection = self.connection()
            try:
                connection.send_command(*command)
                reply = connection.read_response()
            except redis.ResponseError:
                self._free.append(connection)
                raise
            except UNANSWERED:
                connection.disconnect()
            except BaseException:  # interrupted between request and reply: the connection is of no more use
                connection.disconnect()
                raise
            else:
                self._free.append(connection)
                return reply
        return self.client.execute_command(*command)  # type: ignore[no-untyped-call]


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
                self._connection.send_command(*command)
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
