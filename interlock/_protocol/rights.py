"""The check of what a client's user may do: a missing right shows at first use, and not by a lock that hangs.

The check needs no right that only an administrator has. It tries the commands of interlock on a key and a channel of
its own.
"""

from functools import cache
from importlib.resources import files
from typing import Any

import redis
from redis.exceptions import NoPermissionError

from interlock import address
from interlock._io.wire import Wire
from interlock._protocol.scripts import text


@cache
def _check_script() -> str:
    return (files("interlock._protocol") / "lua" / "rights_check.lua").read_text()


def scratch_key(wire: Wire, server: redis.Redis) -> str | None:
    """Return a key at that server that no primitive uses; None if the server serves no slot of its Cluster."""
    keys = (f"{address.prefix()}interlock:{{rights{number}}}:rights" for number in range(1000))
    return next((key for key in keys if wire.serves(server, key)), None)


def missing(server: redis.Redis, key: str) -> list[str]:
    """Return the rights that the user lacks at that server, as `ACL SETUSER` takes them.

    Costs two round trips and a connection. Raises what redis-py raises if the server does not answer.
    """
    channel = f"{address.prefix()}interlock:session:rights"
    with server.pipeline(transaction=False) as many:
        many.script_load("return 1")
        many.evalsha("e0e1f9fabfc9d4800c877a703b823ac0578ff8db", 1, key)  # the digest of that script
        many.eval(_check_script(), 1, key, channel)
        loaded, ran, tried = many.execute(raise_on_error=False)
    lacking: dict[str, None] = {}
    if _denied(loaded):
        lacking["+script|load"] = None
    for answer, right in ((ran, "+evalsha"), (tried, "+eval")):
        if _denied(answer):
            lacking[_keys() if "key" in str(answer).lower() else right] = None
    if isinstance(tried, list):
        words = [text(each) for each in tried]
        for command, said in zip(words[::2], words[1::2], strict=True):
            if "channel" in said.lower():
                lacking[_channels()] = None
            elif "key" in said.lower():
                lacking[_keys()] = None
            else:
                lacking[f"+{command}"] = None
    lacking |= dict.fromkeys(_unheard(server, channel))
    return list(lacking)


def _unheard(server: redis.Redis, channel: str) -> list[str]:
    """Return the rights that the user lacks to listen."""
    with server.pubsub() as subscription:  # type: ignore[no-untyped-call]
        try:
            subscription.subscribe(channel)
            subscription.get_message(timeout=5.0)
            subscription.ping()
            subscription.get_message(timeout=5.0)
            subscription.unsubscribe(channel)
            subscription.get_message(timeout=5.0)
        except NoPermissionError as error:
            said = str(error).lower()
            if "channel" in said:
                return [_channels()]
            # The refusal names the command. If it names neither of these, the first command that was sent was refused.
            words = ("unsubscribe", "ping")
            return [next((f"+{word}" for word in words if f"'{word}" in said), "+subscribe")]
    return []


def _denied(answer: Any) -> bool:
    return isinstance(answer, NoPermissionError)


def _keys() -> str:
    return f"~{address.prefix()}interlock:*"


def _channels() -> str:
    return f"&{address.prefix()}interlock:session:*"


def refusal(server: redis.Redis, where: str, lacking: list[str], who: str = "interlock") -> str:
    """Return one line: what Redis refuses to which user of `who`, and how an administrator grants it."""
    user = server.connection_pool.connection_kwargs.get("username") or "default"
    return (
        f"{where} does not let the user {user!r} do what {who} does: grant it with "
        f"`ACL SETUSER {user} {' '.join(lacking)}` (docs/reference/rights.md has all that is needed)"
    )
