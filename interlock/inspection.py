"""`inspect` says what exists, who holds and who waits. It is for operators, since it scans all keys."""

import re
from dataclasses import replace

from interlock._io.wire import Client
from interlock._primitive import Statistics, look, who
from interlock._protocol import scripts
from interlock._session.process import session
from interlock._session.session import Session

# Where the waiters of the kinds that are no lock wait: kind -> what follows the key of the state.
WAITERS = {
    "Event": ("waiters",), "Barrier": ("waiters",), "Pipe": ("getters",), "SimpleQueue": ("getters",),
    "Queue": ("getters", "putters"), "JoinableQueue": ("getters", "putters"),
}  # fmt: skip


def inspect(client: Client | None = None) -> list[Statistics]:
    """Return every lock, semaphore, event, barrier, queue and pipe that Redis knows under `INTERLOCK_PREFIX`.

    The list leaves out objects that were never used or were idle for a day, Conditions without waiters, values and
    arrays. An object that is neither a lock nor a semaphore has no holders and 0 permits.

    This scans all keys twice, on a Cluster on every node, a thousand keys a round trip. It asks once or twice for each
    name that it finds.

    Args:
        client: the Redis to look at; None: the one that `REDIS_URL` names.

    Returns:
        The statistics of each object, in order of name and then of kind.
    """
    state = session(client)
    state.run(state.checked())
    names = (name for name, _ in _scanned(state, "interlock:{*}", r"interlock:\{([^{}]+)\}()", "hash"))
    found = (state.run(look(state, "", name, 0)) for name in names)
    things = [_with_waiters(state, each) for each in found if each.kind]
    for lock, name in _scanned(state, "interlock:{*}:cond:*", r"interlock:\{([^{}]+)\}:cond:(.+)", "zset"):
        waiters = state.run(scripts.look(state.resource("", lock, 0), condition=name)).condition
        if waiters:
            things.append(Statistics("Condition", name, 0, (), tuple(map(who, waiters))))
    return sorted(things, key=lambda each: (each.name, each.kind))


def _scanned(state: Session, glob: str, pattern: str, type: str) -> list[tuple[str, str]]:
    """Return what the two groups of the pattern match in the keys of that type, each pair once."""
    wanted = re.compile(re.escape(state.prefix) + pattern, re.DOTALL)
    match = re.sub(r"([*?\[\]\\])", r"\\\1", state.prefix) + glob
    keys = (key for server in state.wire.servers() for key in server.scan_iter(match=match, count=1000, _type=type))
    return sorted({(found[1], found[2]) for key in keys if (found := wanted.fullmatch(_read(key)))})


def _read(key: str | bytes) -> str:
    """Return a key as text; '' for a key that is not UTF-8, and so is not ours."""
    try:
        return scripts.text(key)
    except UnicodeDecodeError:
        return ""


def _with_waiters(state: Session, found: Statistics) -> Statistics:
    if found.kind not in WAITERS:
        return found
    key = state.resource(found.kind, found.name).state
    ids = [id for part in WAITERS[found.kind] for id in state.wire.call("ZRANGE", f"{key}:{part}", 0, -1)]
    return replace(found, permits=0, waiters=tuple(who(scripts.text(id)) for id in ids))
