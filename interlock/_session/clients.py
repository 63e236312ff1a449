"""The client that interlock uses when its user gives none, and the look at servers before interlock trusts them."""

import logging
from collections.abc import Mapping
from typing import Any

import redis
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.cluster import RedisCluster
from redis.exceptions import NoPermissionError
from redis.retry import Retry

from interlock import address
from interlock._io import refusals
from interlock._io.cluster import ClusterWire, cluster_of
from interlock._io.wire import UNANSWERED, Client, Wire
from interlock._protocol import rights, scripts
from interlock.errors import InterlockError, RefusedError, UnreachableError

OLDEST = {"redis": (6, 2), "valkey": (7, 2)}
LOOPBACK = ("localhost", "127.0.0.1", "::1")  # names of one address


_clients: dict[str, redis.Redis] = {}  # by address; they are kept, for a session lives as long as its client
log = logging.getLogger("interlock")


def default_client() -> redis.Redis:
    """Return the client made from `REDIS_URL`: one for each process and address."""
    url = address.url()
    if url not in _clients:
        made = redis.Redis.from_url(
            url,
            health_check_interval=15,  # seconds: so redis-py finds a half-open connection before a lease is over
            retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 3),  # a caller hears of an outage within a second
        )
        _clients.setdefault(url, made)  # one step in place of a mutex: see `_holding/mutex.py`
    return _clients[url]


def given(client: Client) -> bool:
    """Whether a user passed this client; any other is one that interlock made from REDIS_URL."""
    return not any(client is each for each in _clients.values())


def checked(wire: Wire, *, given: bool = False) -> Wire:
    """Check, at first use and in one try, that the servers answer, are new enough, and are set not to forget locks.

    Args:
        wire: to the servers.
        given: whether a user passed the client, as the function `given` says.

    Returns:
        The wire itself, or the wire to the Cluster to which its server turns out to belong.

    Raises:
        UnreachableError: a server does not answer.
        InterlockError: a server is too old, or its eviction policy may evict locks.
        RefusedError: the client's user lacks a right.
    """
    try:
        servers = wire.servers()
    except UNANSWERED as error:
        raise UnreachableError(address.unreachable(where(wire), error, given=given)) from error
    for server in servers:
        scratch_key = rights.scratch_key(wire, server)
        if _check(server, scratch_key, given) == "cluster" and not isinstance(wire, ClusterWire):
            if "path" in server.connection_pool.connection_kwargs:
                raise InterlockError(f"{where_of(server)} is a node of a Cluster: use its redis:// address")
            return checked(cluster_of(server), given=given)
    return wire


def _check(server: redis.Redis, scratch_key: str | None, given: bool) -> str:
    """Check one server, and return its mode: "cluster", "sentinel" or "standalone"."""
    pool = server.connection_pool
    once = {**pool.connection_kwargs, "retry": Retry(NoBackoff(), 0)}  # else redis-py retries to connect in each try
    try:
        with redis.ConnectionPool(connection_class=pool.connection_class, **once) as connections:
            asked = redis.Redis(connection_pool=connections)
            mode = _check_version(asked, where_of(server))
            lacking = rights.missing(asked, scratch_key) if scratch_key else []
    except (*UNANSWERED, redis.ResponseError) as error:
        if isinstance(error, UnreachableError):
            raise
        if (refusal := refusals.passing(error)) is not None:
            raise refusal from error
        raise UnreachableError(address.unreachable(where_of(server), error, given=given)) from error
    if lacking:
        raise RefusedError(rights.refusal(server, where_of(server), lacking))
    return mode


def _check_version(server: redis.Redis, where: str) -> str:
    """Return the server's mode. Raise InterlockError if it is too old, or may evict locks."""
    try:
        said = server.info("server")
        memory = server.info("memory")
    except NoPermissionError:  # as of a managed Redis: all users may call HELLO, which says the rest
        log.warning(
            "the user of %s may not call INFO: nobody checks that maxmemory-policy is noeviction, nor sees a restart",
            where,
        )
        said, memory = _hello(server), {}
    flavour = "valkey" if "valkey_version" in said else "redis"
    text = str(said[f"{flavour}_version"])
    version = tuple(int(part) for part in text.split(".")[:2])
    if version < OLDEST[flavour]:
        oldest = ".".join(map(str, OLDEST[flavour]))
        raise InterlockError(f"{where} runs {flavour} {text}: {oldest} or later is needed")
    policy = str(memory.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction":
        raise InterlockError(f"{where} may evict locks: set maxmemory-policy to noeviction, it is {policy}")
    return str(said.get("redis_mode") or said.get("server_mode") or "standalone")


def _hello(server: redis.Redis) -> dict[str, str]:
    """Return from HELLO what INFO would say of version and mode."""
    said = server.execute_command("HELLO")  # type: ignore[no-untyped-call]
    if isinstance(said, list):
        said = dict(zip(said[::2], said[1::2], strict=True))
    found = {scripts.text(key): each for key, each in said.items()}
    flavour = scripts.text(found["server"])
    return {f"{flavour}_version": scripts.text(found["version"]), "redis_mode": scripts.text(found["mode"])}


def runs(wire: Wire) -> frozenset[str]:
    """Return which process the server is: another process than before may know less. Empty for a Cluster.

    Raises what redis-py raises if the server does not answer.
    """
    if isinstance(wire, ClusterWire):
        return frozenset()
    try:
        return frozenset(str(server.info("server")["run_id"]) for server in wire.servers())
    except NoPermissionError:  # then interlock sees no restart
        return frozenset()
    except redis.ResponseError as error:
        raise refusals.ours(error) from error


def apart(client: Client) -> tuple[str, str] | None:
    """Return the address of a client, and what REDIS_URL says, if they differ; else None. This asks no server.

    A client of Sentinel has no address. A client of a Cluster has the addresses of all nodes that it knows.
    """
    if isinstance(client, RedisCluster):
        nodes = client.nodes_manager
        known = [*nodes.startup_nodes.values(), *nodes.nodes_cache.values()]
        places = {_place({"host": node.host, "port": node.port}) for node in known}
    else:
        places = {_place(client.connection_pool.connection_kwargs)}
    there = _place(default_client().connection_pool.connection_kwargs)
    if there in places or None in places:
        return None
    named = address.variable()
    ours = f"{named} to {there}" if named else f"REDIS_URL is not set, which means {there}"
    return min(filter(None, places)), ours


def _place(settings: Mapping[str, Any]) -> str | None:
    """Return the server and the database of a connection with these settings; None: only Sentinel knows them."""
    if "connection_pool" in settings:
        return None
    database = int(settings.get("db") or 0)
    if "path" in settings:
        return f"unix://{settings['path']}?db={database}"
    host = str(settings.get("host") or "localhost")
    return f"{'127.0.0.1' if host in LOOPBACK else host}:{int(settings.get('port') or 6379)}/{database}"


def where(wire: Wire) -> str:
    """Return the address of a wire, without passwords."""
    if isinstance(wire, ClusterWire):
        return "the Cluster of " + ", ".join(f"{host}:{port}" for host, port in wire.known[:3])
    (server,) = wire.servers()
    return where_of(server)


def where_of(client: redis.Redis) -> str:
    """Return the address of a client, without passwords."""
    known = client.connection_pool.connection_kwargs
    if "path" in known:
        return f"unix://{known['path']}"
    if "connection_pool" in known:
        return f"the master {known['connection_pool'].service_name!r} of Sentinel"
    return f"{known.get('host', 'localhost')}:{known.get('port', 6379)}"
