"""Where Redis is: `REDIS_URL`; and what all keys of this stack begin with: `INTERLOCK_PREFIX`.

The one source for the primitives, for producers and for workers alike; read at every first use and checked there.
"""

import os
import re
from functools import cache
from urllib.parse import urlsplit

import redis

from interlock._arguments import checked_prefix
from interlock._text import one_line

DEFAULT_URL = "redis://127.0.0.1:6390/0"
SCHEMES = ("redis", "rediss", "unix")


def url() -> str:
    """The address in use.

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
            good = good and re.fullmatch(r"/?[0-9]*", parts.path) is not None  # the number of a database
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
    """An address without its password, for people to read."""
    head, at, tail = address.rpartition("@")
    if not at:
        return address
    scheme, slashes, credentials = head.rpartition("//")
    user, colon, _ = credentials.partition(":")
    return f"{scheme}{slashes}{user}{colon}{'***' if colon else ''}@{tail}"


def unreachable(where: str, error: object, remedy: str = "start one with `make up`, or set REDIS_URL") -> str:
    """One line: what does not answer, why, and what to do."""
    source = "from REDIS_URL" if os.environ.get("REDIS_URL") else "REDIS_URL is not set"
    reason = " ".join(str(error).partition(" : <")[0].split()).rstrip(".")  # Sentinel's go on with how it was asked
    if "HELLO must be called" in reason or reason == "Authentication required":
        reason = "it wants a password"
    if isinstance(error, redis.ResponseError | redis.AuthenticationError):
        return f"Redis at {where} ({source}) refuses: {reason}; set REDIS_URL to what it allows"
    return f"no Redis answers at {where} ({source}): {reason}; {remedy}"


def prefix() -> str:
    """What all keys of this stack begin with."""
    return checked_prefix(os.environ.get("INTERLOCK_PREFIX", ""))
