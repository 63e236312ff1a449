"""The wire to a Redis Cluster: it sends each call to the node of its slot, and again if the slot has moved.

The wire looks a slot up in redis-py's table. When an answer shows that the table is old, or when no answer comes, the
wire sends the call through redis-py's own layers, which correct the table. All keys of one primitive share a hash tag,
and so a slot.
"""

import copy
import logging
import os
import threading
from collections.abc import Sequence
from typing import Any

import redis
from redis.client import PubSub
from redis.cluster import ClusterNode, RedisCluster, cleanup_kwargs
from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, ClusterError, RedisClusterException, TryAgainError

from interlock._io.wire import CONNECTIONS_MAX, OURS, UNANSWERED, Command, Line, Wire, places

# These answers say that the slot is at another node, or not served now.
ELSEWHERE = (AskError, TryAgainError, ClusterDownError)
NOWHERE = (*ELSEWHERE, ClusterError, RedisClusterException)  # what redis-py raises when it has given up
MARK = "C"  # no digit that a session id has; attempt.lua knows the same letter

log = logging.getLogger("interlock")


def wire_for(client: redis.Redis | RedisCluster) -> Wire:
    """Return the wire for a client that a user gave. This sends nothing to a server yet."""
    if isinstance(client, redis.Redis):
        return Wire(client)
    nodes = client.nodes_manager
    return ClusterWire(
        [(node.host, int(node.port)) for node in list(nodes.startup_nodes.values())],
        {**nodes.connection_kwargs, "redis_connect_func": client.user_on_connect_func},
        retry=copy.deepcopy(client.retry),
        require_full_coverage=nodes._require_full_coverage,
        dynamic_startup_nodes=nodes._dynamic_startup_nodes,
        address_remap=nodes.address_remap,
    )


def cluster_of(client: redis.Redis) -> "ClusterWire":
    """Return the wire for the Cluster to which the server of a client belongs."""
    pool = client.connection_pool
    settings = {**pool.connection_kwargs, "connection_class": pool.connection_class}
    address = settings.get("host", "localhost"), int(settings.get("port", 6379))
    return ClusterWire([address], settings, require_full_coverage=False)


class _Nodes(RedisCluster):
    """A client whose `__del__` does nothing: redis-py's takes locks to close it, and a forked child would do so too."""

    def __del__(self) -> None:
        pass  # each connection closes itself


class ClusterWire(Wire):
    """Connections to the nodes of a Cluster."""

    mark = MARK

    def __init__(self, known: Sequence[tuple[str, int]], settings: dict[str, Any], **options: Any) -> None:
        self.known = known
        # This leaves out the settings that lead back to the given client.
        self._settings = cleanup_kwargs(**settings)  # type: ignore[no-untyped-call]
        self._options = options
        self._nodes: _Nodes | None = None
        self._lines: dict[str, Line] = {}  # by node; lines to nodes that have left the Cluster stay here, and are few
        self._making = threading.RLock()
        self._turn = os.getpid()  # starts at the process id, so that processes listen at different nodes
        self._resending = places(CONNECTIONS_MAX)

    @property
    def client(self) -> RedisCluster:
        if self._nodes is None:
            with self._making:
                if self._nodes is None:
                    self._nodes = self._connected()
        return self._nodes

    def _connected(self) -> _Nodes:
        settings = {key: value for key, value in self._settings.items() if key not in ("db", "max_connections")}
        settings.update(OURS)
        kind = settings.pop("connection_class", None)
        if kind is not None and issubclass(kind, redis.SSLConnection):
            settings["ssl"] = True
        startup = [ClusterNode(host, port) for host, port in self.known]  # type: ignore[no-untyped-call]
        try:
            return _Nodes(startup_nodes=startup, **self._options, **settings)
        except NOWHERE as error:
            raise redis.ConnectionError(str(error)) from error

    @property
    def left(self) -> int:
        return 0  # on a Cluster, a replica passes on each published message

    def servers(self) -> list[redis.Redis]:
        primaries = self.client.get_primaries()  # type: ignore[no-untyped-call]
        return [self._line_to(node).client for node in primaries]

    def serves(self, server: redis.Redis, key: str) -> bool:
        return self.line(("GET", key)).client is server

    def line(self, command: Command) -> Line:
        key = str(command[3] if command[0] in ("EVALSHA", "EVAL") else command[1])
        try:
            return self._line_to(self.client.nodes_manager.get_node_from_slot(key_slot(key.encode())))
        except NOWHERE as error:
            raise redis.ConnectionError(str(error)) from error

    def _line_to(self, node: ClusterNode) -> Line:
        line = self._lines.get(node.name)
        if line is None:
            pool = self.client.get_redis_connection(node).connection_pool
            line = self._lines.setdefault(node.name, Line(pool))
        return line

    def call(self, *command: str | float) -> Any:
        """Send one command to the node of its key, and return its answer: one round trip.

        If the key is at another node, or the node gives no answer, the wire sends the command again.
        """
        try:
            return self.line(command).call(*command)
        except UNANSWERED:
            self.cut = True
        except ELSEWHERE:
            pass
        return self._again(command)

    def _again(self, command: Command) -> Any:
        try:
            return super()._again(command)
        except NOWHERE as error:
            raise redis.ConnectionError(str(error)) from error

    def batch(self, commands: Sequence[Command]) -> list[Any]:
        """Send many commands in one round trip to each node. If a command fails, its answer is the error.

        The wire sends all commands before it reads the first reply: a node that does not answer must not cost the
        leases on other nodes.
        """
        answers: list[Any] = [None] * len(commands)
        numbers: dict[Line, list[int]] = {}
        for number, command in enumerate(commands):
            try:
                numbers.setdefault(self.line(command), []).append(number)
            except redis.ConnectionError as error:
                answers[number] = error
        for line, replies in self._exchanged({line: [commands[n] for n in of] for line, of in numbers.items()}):
            for number, reply in zip(numbers[line], replies, strict=True):
                answers[number] = reply
        if any(isinstance(answer, (*UNANSWERED, ClusterDownError)) for answer in answers):
            self._look_again([line for line, of in numbers.items() if isinstance(answers[of[0]], UNANSWERED)])
        for number, answer in enumerate(answers):
            if isinstance(answer, AskError | TryAgainError):
                try:
                    answers[number] = self._again(commands[number])
                except redis.RedisError as error:
                    answers[number] = error
        return answers

    def _exchanged(self, commands: dict[Line, list[Command]]) -> list[tuple[Line, list[Any]]]:
        answers: list[tuple[Line, list[Any]]] = []
        open_ones = []
        silent = []
        # Lines that must connect first come last: it may take long.
        for line in sorted(commands, key=lambda each: not each.open):
            try:
                open_ones.append((line, line.sent(commands[line])))
            except UNANSWERED as error:
                silent.append((line, error))
        for line, connection in open_ones:
            try:
                answers.append((line, line.replies(connection, len(commands[line]))))
            except UNANSWERED as error:
                silent.append((line, error))
        for line, why in silent:
            unanswered = why if isinstance(why, redis.RedisError) else redis.ConnectionError(str(why))
            answers.append((line, [unanswered] * len(commands[line])))
        return answers

    def _look_again(self, silent: list[Line]) -> None:
        """Ask a node that answers which node has which slot now. The next heartbeat is early enough to use it."""
        names = [name for name, line in self._lines.items() if line in silent]
        try:
            self.client.nodes_manager.initialize(last_failed_node_name=names[0] if names else None)
        except (*UNANSWERED, *NOWHERE) as error:
            log.warning("the slots of the Cluster are not known: %s", error)

    def load(self, script: str) -> None:
        for server in self.servers():
            try:
                server.script_load(script)
            except UNANSWERED as error:  # the server that replaces it will answer that it lacks the script
                log.warning("a script was not loaded: %s", error)

    def close(self) -> None:
        for line in list(self._lines.values()):
            line.close()
        if self._nodes is not None:
            self._nodes.disconnect_connection_pools()  # type: ignore[no-untyped-call]

    def pubsub(self) -> PubSub:
        """Return a subscription by way of one node, a different node at each call.

        A message reaches the listeners at all nodes, whichever node it was published at.
        """
        servers = self.servers()
        self._turn += 1
        return servers[self._turn % len(servers)].pubsub()  # type: ignore[no-untyped-call, no-any-return]
