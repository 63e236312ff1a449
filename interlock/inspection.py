"""`inspect`: what exists, who holds, who waits. For operators: it scans."""

import re

import redis

from interlock import _scripts
from interlock._primitive import Statistics, look
from interlock._session import session


def inspect(client: redis.Redis | None = None) -> list[Statistics]:
    """Every Lock and Semaphore that Redis knows under `INTERLOCK_PREFIX`, in order of name.

    One that was never used, or has been idle for a day, is not there. Values are not listed.
    Scans all keys, a thousand a round trip, and asks once for each name found.
    """
    state = session(client).checked()
    pattern = re.compile(re.escape(state.prefix) + r"interlock:\{([^{}]+)\}")
    glob = re.sub(r"([*?\[\]\\])", r"\\\1", state.prefix) + "interlock:{*}"
    keys = (_scripts.text(key) for key in state.client.scan_iter(match=glob, count=1000, _type="hash"))
    names = sorted({match[1] for key in keys if (match := pattern.fullmatch(key))})
    found = (look(state, "", name, 0) for name in names)
    return [each for each in found if each.kind]
