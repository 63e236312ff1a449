"""`inspect`: what exists, who holds, who waits. For operators: it scans."""

import re
from dataclasses import replace

from interlock import _scripts
from interlock._primitive import Statistics, look, who
from interlock._session import Session, session
from interlock._wire import Client

# Where those wait who wait for no lock: kind -> what stands behind the state's key.
WAITERS = {
    "Event": ("waiters",), "Barrier": ("waiters",), "Pipe": ("getters",), "SimpleQueue": ("getters",),
    "Queue": ("getters", "putters"), "JoinableQueue": ("getters", "putters"),
}  # fmt: skip


def inspect(client: Client | None = None) -> list[Statistics]:
    """Every lock, semaphore, event, barrier, queue and pipe that Redis knows under `INTERLOCK_PREFIX`, by name.

    One that was never used, or has been idle for a day, is not there. Values and arrays are not listed, nor who waits
    to be notified by a Condition. What is no lock has no holders and 0 permits.
    Scans all keys, on a Cluster on every node, a thousand a round trip, and asks once or twice for each name found.
    """
    state = session(client)
    state.run(state.checked())
    pattern = re.compile(re.escape(state.prefix) + r"interlock:\{([^{}]+)\}")
    glob = re.sub(r"([*?\[\]\\])", r"\\\1", state.prefix) + "interlock:{*}"
    keys = (key for server in state.wire.servers() for key in server.scan_iter(match=glob, count=1000, _type="hash"))
    names = sorted({match[1] for key in keys if (match := pattern.fullmatch(_scripts.text(key)))})
    found = (state.run(look(state, "", name, 0)) for name in names)
    return [_with_waiters(state, each) for each in found if each.kind]


def _with_waiters(state: Session, found: Statistics) -> Statistics:
    if found.kind not in WAITERS:
        return found
    key = state.identity(found.kind, found.name).state
    ids = [id for part in WAITERS[found.kind] for id in state.wire.call("ZRANGE", f"{key}:{part}", 0, -1)]
    return replace(found, permits=0, waiters=tuple(who(_scripts.text(id)) for id in ids))
