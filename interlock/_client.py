"""The client that is used when none is given, and the look at a server before it is trusted."""

import threading

import redis
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.retry import Retry

from interlock import address
from interlock.errors import InterlockError, UnreachableError

OLDEST = {"redis": (6, 2), "valkey": (7, 2)}


_clients: dict[str, redis.Redis] = {}  # by address; kept, for a session lives as long as its client
making = threading.Lock()


def default_client() -> redis.Redis:
    """The client made from `REDIS_URL`, one a process and address."""
    url = address.url()
    if url not in _clients:
        with making:
            if url not in _clients:
                _clients[url] = redis.Redis.from_url(
                    url,
                    health_check_interval=15,  # seconds: a half-open connection is found before a lease is over
                    retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 3),  # a caller hears of an outage in a second
                )
    return _clients[url]


def check_server(client: redis.Redis) -> None:
    """At first use, without patience: is anybody there, new enough, and set not to forget locks?

    Raises:
        UnreachableError: nobody answers.
        InterlockError: the server is too old, or its eviction policy may evict locks.
    """
    pool = client.connection_pool
    once = {**pool.connection_kwargs, "retry": Retry(NoBackoff(), 0)}  # redis-py tries to connect in each of its tries
    try:
        with redis.ConnectionPool(connection_class=pool.connection_class, **once) as connections:
            asked = redis.Redis(connection_pool=connections)
            server = asked.info("server")
            memory = asked.info("memory")
    except (redis.ConnectionError, redis.TimeoutError, redis.ResponseError) as error:
        raise UnreachableError(address.unreachable(where(client), error)) from error
    flavour = "valkey" if "valkey_version" in server else "redis"
    text = str(server[f"{flavour}_version"])
    version = tuple(int(part) for part in text.split(".")[:2])
    if version < OLDEST[flavour]:
        oldest = ".".join(map(str, OLDEST[flavour]))
        raise InterlockError(f"{where(client)} runs {flavour} {text}: {oldest} or later is needed")
    policy = str(memory.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction":
        raise InterlockError(f"{where(client)} may evict locks: set maxmemory-policy to noeviction, it is {policy}")


def where(client: redis.Redis) -> str:
    """The address of a client, without passwords."""
    known = client.connection_pool.connection_kwargs
    if "path" in known:
        return f"unix://{known['path']}"
    return f"{known.get('host', 'localhost')}:{known.get('port', 6379)}"
