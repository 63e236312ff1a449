"""Where Redis is (`REDIS_URL`), and the prefix of all keys of this stack (`INTERLOCK_PREFIX`).

The primitives, the producers and the workers all take both from this module. It reads and checks each at every first
use.
"""

import os
import re
from functools import cache
from urllib.parse import urlsplit

import redis

from interlock._arguments import checked_prefix
from interlock._io.refusals import HEALING, word_of
from interlock._text import one_line

DEFAULT_URL = "redis://127.0.0.1:6390/0"
SCHEMES = ("redis", "rediss", "unix")


def url() -> str:
    """Return the address in use.

    Raises:
        ValueError: `REDIS_URL` is no address of a Redis.
    """
    return _checked_url(os.environ.get("REDIS_URL") or DEFAULT_URL)


@cache
def _checked_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        good = parts.scheme in SCHEMES and bool(parts.path if parts.scheme == "unix" else parts.hostname)
        if parts.scheme != "unix":
            good = good and re.fullmatch(r"/?[0-9]*", parts.path) is not None  # the number of a database, or nothing
        _ = parts.port
    except ValueError:
        good = False
    if not good:
        raise ValueError(
            "REDIS_URL must be redis://, rediss:// or unix:// and an address, as redis://127.0.0.1:6379/0, "
            f"not {one_line(masked(value))}"
        )
    return value


def masked(address: str) -> str:
    """Return an address without its password, for people to read."""
    head, at, tail = address.rpartition("@")
    if not at:
        return address
    scheme, slashes, credentials = head.rpartition("//")
    user, colon, _ = credentials.partition(":")
    return f"{scheme}{slashes}{user}{colon}{'***' if colon else ''}@{tail}"


# Other words of a server that no other address helps with -> what to do about them.
REMEDIES = {
    r"max number of clients": "raise its maxclients, or end some of its clients",
    r"cluster is down|slot not served": HEALING["CLUSTERDOWN"],
    r"no permissions|^NOPERM": "give its user that right with ACL SETUSER, or use another user",
}


def unreachable(where: str, error: object, remedy: str = "", *, given: bool = False) -> str:
    """Return one line that says which Redis does not answer, why, and what to do.

    Args:
        where: the address, without a password.
        error: what redis-py raised.
        remedy: what to do if no server answers; '': what the user of a local stack does.
        given: whether the address comes from a `client=`, and not from REDIS_URL.
    """
    source = "from client=" if given else "from REDIS_URL" if os.environ.get("REDIS_URL") else "REDIS_URL is not set"
    reason = " ".join(str(error).partition(" : <")[0].split()).rstrip(".")  # Sentinel adds how it was asked
    if "HELLO must be called" in reason or reason == "Authentication required":
        reason = "it wants a password"
    known = HEALING.get(word_of(error) or "")
    known = known or next((remedy for said, remedy in REMEDIES.items() if re.search(said, reason)), None)
    if known or isinstance(error, redis.ResponseError | redis.AuthenticationError):
        allowed = "pass a client that it allows" if given else "set REDIS_URL to what it allows"
        return f"Redis at {where} ({source}) refuses: {reason}; {known or allowed}"
    if not remedy:
        remedy = "start it, or pass another client" if given else "start one with `make up`, or set REDIS_URL"
    return f"no Redis answers at {where} ({source}): {reason}; {remedy}"


def prefix() -> str:
    """Return the prefix of all keys of this stack."""
    return checked_prefix(os.environ.get("INTERLOCK_PREFIX", ""))
