"""`inspect`: what exists, who holds, who waits. For operators: it scans."""

import re
from dataclasses import replace

from interlock._io.wire import Client
from interlock._primitive import Statistics, look, who
from interlock._protocol import scripts
from interlock._session.process import session
from interlock._session.session import Session

# Where those wait who wait for no lock: kind -> what stands behind the state's key.
WAITERS = {
    "Event": ("waiters",), "Barrier": ("waiters",), "Pipe": ("getters",), "SimpleQueue": ("getters",),
    "Queue": ("getters", "putters"), "JoinableQueue": ("getters", "putters"),
}  # fmt: skip


def inspect(client: Client | None = None) -> list[Statistics]:
    """Every lock, semaphore, event, barrier, queue and pipe that Redis knows under `INTERLOCK_PREFIX`, by name.

    One that was never used, or has been idle for a day, is not there, nor a Condition for which nobody waits. Values
    and arrays are not listed. What is no lock has no holders and 0 permits.
    Scans all keys twice, on a Cluster on every node, a thousand a round trip; asks once or twice for each name found.
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
    """What the two groups of the pattern match in the keys of that type, each once."""
    wanted = re.compile(re.escape(state.prefix) + pattern, re.DOTALL)
    match = re.sub(r"([*?\[\]\\])", r"\\\1", state.prefix) + glob
    keys = (key for server in state.wire.servers() for key in server.scan_iter(match=match, count=1000, _type=type))
    return sorted({(found[1], found[2]) for key in keys if (found := wanted.fullmatch(_read(key)))})


def _read(key: str | bytes) -> str:
    """A key as text; '' for one that is not UTF-8, and so none of ours."""
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
