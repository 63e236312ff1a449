"""The checks of the server: it answers, is one that workers can use, lets this user work, and takes writes."""

from urllib.parse import urlsplit

import redis

import interlock
from interlock import address
from interlock._io.cluster import ClusterWire
from interlock._io.wire import Wire
from interlock._protocol import rights as rights_of_interlock
from interlock._session import clients
from workers.local_stack import redis_server
from workers.local_stack.joining import rights

ANSWERS_WITHIN = 5.0  # seconds: over a network that loses packets, the system sends the first one again after one
REACH_REMEDIES = {
    "redis": "start it, let it listen on an address that this machine reaches (its `bind`), or name another; "
    "if it wants TLS, write rediss://",
    "rediss": "let it answer by TLS, with a certificate that this machine trusts (?ssl_ca_certs=FILE names its "
    "authority), or write redis://",
    "unix": "start it, or name another",
}


def reached(url: str) -> None:
    """Raise StackError, in one line, unless a server answers that lets us in and has read its data."""
    redis_server.check(url, REACH_REMEDIES[urlsplit(url).scheme], within=ANSWERS_WITHIN)


def problem(client: redis.Redis) -> str | None:
    """Return one line if workers cannot use the server; None: they can.

    Interlock's own check comes first: version, eviction policy, mode, and the rights for locks and values.
    """
    where = f"Redis at {address.masked(address.url())}"
    try:
        wire = clients.checked(Wire(client))
    except interlock.InterlockError as error:
        return str(error)
    if isinstance(wire, ClusterWire):
        return f"{where} is a node of a Cluster, and Celery's workers need a server of its own: name such a one"
    scratch = rights_of_interlock.scratch_key(wire, client)
    assert scratch is not None, "a server that is no Cluster's has all keys"
    try:
        client.set(scratch, "", px=1000)
        client.delete(scratch)
    except redis.RedisError as error:  # full, a replica, or without the replicas that it wants
        return address.unreachable(address.masked(address.url()), error)
    if lacking := rights.missing(client, scratch):
        return rights_of_interlock.refusal(client, clients.where(wire), lacking, "a worker")
    return None
