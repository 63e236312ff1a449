"""The wire to a Redis Cluster: each call goes to the node of its slot, and is sent again where that moved.

A slot is looked up in redis-py's table. When an answer shows that the table is old, or none comes, the call goes
through redis-py's own layers, which mend the table. All keys of one primitive share a hash tag, and so a slot.
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

ELSEWHERE = (AskError, TryAgainError, ClusterDownError)  # answers that say: not here, or not now
NOWHERE = (*ELSEWHERE, ClusterError, RedisClusterException)  # what redis-py says when it has given up
MARK = "C"  # no digit of a session's id; attempt.lua has the same

log = logging.getLogger("interlock")


def wire_for(client: redis.Redis | RedisCluster) -> Wire:
    """The wire for a client that a user gave. Calls nobody yet."""
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
    """The wire for the Cluster to which the server of a client belongs."""
    pool = client.connection_pool
    settings = {**pool.connection_kwargs, "connection_class": pool.connection_class}
    address = settings.get("host", "localhost"), int(settings.get("port", 6379))
    return ClusterWire([address], settings, require_full_coverage=False)


class _Nodes(RedisCluster):
    """A client that redis-py does not close by itself: that takes locks, and a forked child would do it too."""

    def __del__(self) -> None:
        pass  # each connection closes itself


class ClusterWire(Wire):
    """Connections to the nodes of a Cluster."""

    mark = MARK

    def __init__(self, known: Sequence[tuple[str, int]], settings: dict[str, Any], **options: Any) -> None:
        self.known = known
        self._settings = cleanup_kwargs(**settings)  # type: ignore[no-untyped-call]  # leaves out what leads to its client
        self._options = options
        self._nodes: _Nodes | None = None
        self._lines: dict[str, Line] = {}  # by node; those of nodes that went are few
        self._making = threading.RLock()
        self._turn = os.getpid()  # so that processes listen at different nodes
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
        return 0  # on a Cluster, replicas pass on all that is published

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
        """One command, one round trip to the node of its key; sent again if that is elsewhere, or gives no answer."""
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
        """Many in one round trip to each node; what fails for one is its reply.

        All are sent before the first reply is read: a node that does not answer must not cost leases on the others.
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
        for line in sorted(commands, key=lambda each: not each.open):  # to connect may take long
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
        """Learn who has the slots by now, from a node that answers. The next beat is in time to use it."""
        names = [name for name, line in self._lines.items() if line in silent]
        try:
            self.client.nodes_manager.initialize(last_failed_node_name=names[0] if names else None)
        except (*UNANSWERED, *NOWHERE) as error:
            log.warning("the slots of the Cluster are not known: %s", error)

    def load(self, script: str) -> None:
        for server in self.servers():
            try:
                server.script_load(script)
            except UNANSWERED as error:  # its successor says that it does not know it
                log.warning("a script was not loaded: %s", error)

    def close(self) -> None:
        for line in list(self._lines.values()):
            line.close()
        if self._nodes is not None:
            self._nodes.disconnect_connection_pools()  # type: ignore[no-untyped-call]

    def pubsub(self) -> PubSub:
        """A subscription by way of one node, another one each time: what is published reaches the listeners of all."""
        servers = self.servers()
        self._turn += 1
        return servers[self._turn % len(servers)].pubsub()  # type: ignore[no-untyped-call, no-any-return]
