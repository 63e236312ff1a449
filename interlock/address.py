"""Where Redis is (`REDIS_URL`), who logs in there, and the prefix of all keys of this stack (`INTERLOCK_PREFIX`).

The primitives, the producers and the workers all take them from this module. It reads and checks each at every first
use. `REDIS_USERNAME` and `REDIS_PASSWORD` complete a `REDIS_URL` that has no user or no password; so the address can
stand in plain view, and the password in a file.
"""

import os
import re
from functools import cache
from urllib.parse import quote, unquote, urlsplit

import redis

from interlock._arguments import checked_prefix
from interlock._io.refusals import HEALING, word_of
from interlock._secrets import secret, source
from interlock._text import one_line

DEFAULT_URL = "redis://127.0.0.1:6390/0"
SCHEMES = ("redis", "rediss", "unix")


VARIABLES = ("REDIS_URL", "REDIS_URL_FILE", "REDIS_USERNAME", "REDIS_PASSWORD", "REDIS_PASSWORD_FILE")
"""All that say where Redis is and who logs in there."""


def variable() -> str | None:
    """Return the variable that says where Redis is, REDIS_URL or REDIS_URL_FILE; None: it is at the default address."""
    return source("REDIS_URL")


def url() -> str:
    """Return the address in use, with user and password.

    Raises:
        ValueError: `REDIS_URL` is no address of a Redis; it has another user or password than `REDIS_USERNAME` or
            `REDIS_PASSWORD`; or the file of a secret cannot be used.
    """
    if value := os.environ.get("REDIS_URL"):  # one look at the environment: each step of a primitive comes here
        return _with_login("REDIS_URL", value)
    if path := os.environ.get("REDIS_URL_FILE"):
        return _with_login("REDIS_URL_FILE", path)
    return DEFAULT_URL  # the Redis of `make up`, which wants no password


@cache
def _with_login(variable: str, value: str) -> str:  # noqa: ARG001  the value only tells one use from another
    """Return the address in use, with user and password. Both are read once for each value of the variable."""
    address = _checked_url(secret("REDIS_URL") or DEFAULT_URL, variable == "REDIS_URL_FILE")
    return _completed(address, os.environ.get("REDIS_USERNAME") or None, secret("REDIS_PASSWORD"))


def _checked_url(value: str, is_from_file: bool) -> str:
    try:
        parts = urlsplit(value)
        good = parts.scheme in SCHEMES and bool(parts.path if parts.scheme == "unix" else parts.hostname)
        if parts.scheme != "unix":
            good = good and re.fullmatch(r"/?[0-9]*", parts.path) is not None  # the number of a database, or nothing
        _ = parts.port
    except ValueError:
        good = False
    if not good:
        form = "redis://, rediss:// or unix:// and an address, as redis://127.0.0.1:6379/0"
        if is_from_file:  # what it holds may be a password
            raise ValueError(f"the file that REDIS_URL_FILE names must hold {form}; it holds something else")
        raise ValueError(f"REDIS_URL must be {form}, not {one_line(masked(value))}")
    return value


def _completed(address: str, user: str | None, password: str | None) -> str:
    """Return an address with this user and this password, each None for the one that the address has."""
    parts = urlsplit(address)
    for what, own, given in (("USERNAME", parts.username, user), ("PASSWORD", parts.password, password)):
        if own and given is not None and unquote(own) != given:
            raise ValueError(f"REDIS_URL and REDIS_{what} give two: leave one of them out")
    if (user is None or parts.username) and (password is None or parts.password):
        return address
    user, password = user or unquote(parts.username or ""), password or unquote(parts.password or "")
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    return parts._replace(netloc=f"{login}@{parts.netloc.rpartition('@')[2]}").geturl()


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
    named = variable()
    source = "from client=" if given else f"from {named}" if named else "REDIS_URL is not set"
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
