"""What is said to Redis of many names at once: which names processes use, and who holds and waits for each."""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files

import redis
from redis.exceptions import NoScriptError

from interlock._io.wire import Wire
from interlock._protocol import scripts
from interlock._protocol.scripts import Look, Resource


def looks(wire: Wire, wanted: Sequence[tuple[Resource, str]], most: int) -> list[Look | redis.RedisError]:
    """Look at many names, each with the name of a Condition or '', in one round trip to each server.

    If the look at a name fails, its answer is the error.
    """
    known = scripts.script("lock_look")
    commands = [
        ("EVALSHA", known.digest, len(each.keys), *each.keys, *each.argv, condition, most) for each, condition in wanted
    ]
    replies = wire.batch(commands)
    if any(isinstance(reply, NoScriptError) for reply in replies):
        wire.load(known.text)
        replies = wire.batch(commands)
    return [
        reply if isinstance(reply, redis.RedisError) else scripts.looked(reply, condition)
        for reply, (_, condition) in zip(replies, wanted, strict=True)
    ]


def key(prefix: str) -> str:
    """Return the key of the names that processes use."""
    return f"{prefix}interlock:names"


def note_command(prefix: str, names: Sequence[str]) -> tuple[str | int, ...]:
    """Return the command that notes that a process uses these names.

    The caller sends it without awaiting its reply, so it carries the script: the server need not know it.
    """
    return ("EVAL", _note_script(), 1, key(prefix), *names)


@cache
def _note_script() -> str:
    return (files("interlock._protocol") / "lua" / "names_note.lua").read_text()
