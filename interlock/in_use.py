"""Who holds and who waits now, for pages that ask again and again: read from the names that processes tell of.

`inspect` scans all keys, and finds all. This asks only for the names that processes used last
(`_session/registry.py`), and reads the first few holders and waiters of each, so what it costs is bounded.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis

from interlock._io.wire import Client
from interlock._primitive import who
from interlock._protocol import name_scripts, scripts
from interlock._protocol.scripts import Look
from interlock._session.process import session
from interlock._session.session import Session
from interlock.errors import NameTakenError

NAMES_MAX = 1000  # names that one look asks for: the last that processes used
FIRST = 5  # holders, and waiters, of each name in a look at many
BATCH = 100  # names in one round trip: so the server answers others in between
BREAKABLE = (*scripts.LOCK_KINDS, "Semaphore", "BoundedSemaphore")
# Where the waiters of the kinds that are no lock wait, and whether their scores are arrivals in us of server time, or
# only the time of their last call.
QUEUES = {
    "Event": (("waiters", False),), "Barrier": (("waiters", False),), "Pipe": (("getters", True),),
    "SimpleQueue": (("getters", True),), "Queue": (("getters", True), ("putters", True)),
    "JoinableQueue": (("getters", True), ("putters", True)),
}  # fmt: skip


@dataclass(frozen=True)
class Party:
    """One that holds or waits."""

    who: str  # host:pid of the process, and the task by name and id if it runs one
    seconds: float | None  # since it holds or waits; None: Redis does not know
    token: int = 0  # of a holder, the fencing token of its grant
    remaining: float = 0.0  # of a holder, seconds until its lease ends if its process does not renew it
    lingers: bool = False  # of a holder: its process may keep the lock after the release, until another asks

    @property
    def task(self) -> str:
        """The id of the task; '' if it runs none, or if the id was too long to be kept."""
        found = re.search(r" .*\[([^\[\]]+)\]( to write)?$", self.who)
        return found[1] if found else ""

    @property
    def process(self) -> str:
        """The process, as host:pid."""
        return self.who.partition(" ")[0]


@dataclass(frozen=True)
class InUse:
    """One primitive that is held or waited for, as Redis saw it at one moment."""

    kind: str
    name: str
    lock: str  # of a Condition, the name of its lock; else ''
    permits: int  # how many holders there may be at once; 0: it is not held
    holders: tuple[Party, ...]  # the first, in the order in which their leases end
    holding: int  # all holders
    waiters: tuple[Party, ...]  # the first, in order of arrival
    waiting: int  # all waiters

    @property
    def breakable(self) -> bool:
        """Whether `take_away` can end its leases."""
        return self.kind in BREAKABLE and self.holding > 0


@dataclass(frozen=True)
class Names:
    """What a look at many names found."""

    in_use: tuple[InUse, ...]  # in order of name
    looked_at: int  # names
    known: int  # names that processes told of, in a day: those beyond NAMES_MAX were not looked at


def look_at_all(client: Client | None = None) -> Names:
    """Return what is held or waited for.

    Costs a round trip for the names, and one for each hundred of them, NAMES_MAX at most; the server runs one script
    for each name. A name shows within about a second of its first use.

    Raises:
        UnreachableError: no Redis answers.
        redis.RedisError: Redis went away meanwhile.
    """
    state = session(client)
    state.run(state.checked())
    key = name_scripts.key(state.prefix)
    found, known = (_answer(each) for each in state.wire.batch([("ZREVRANGE", key, 0, NAMES_MAX - 1), ("ZCARD", key)]))
    names = [scripts.text(each) for each in found]
    seen = _look(state, names, FIRST)
    busy = [each for each in seen if each.holding or each.waiting]
    return Names(tuple(sorted(busy, key=lambda each: (each.name, each.kind))), len(names), int(known))


def look_at(name: str, *, lock: str = "", most: int = 200, client: Client | None = None) -> InUse | None:
    """Return who holds and who waits for one name; None if Redis knows nothing of it.

    Args:
        name: of a primitive; with `lock`, of a Condition of that lock.
        lock: the name of the lock of a Condition.
        most: how many holders and waiters to return.
        client: the Redis to look at; None: the one that `REDIS_URL` names.
    """
    state = session(client)
    state.run(state.checked())
    found = _look(state, [f"{lock}}}{name}" if lock else name], most)
    return found[0] if found else None


def take_away(name: str, client: Client | None = None) -> int:
    """End all leases of a lock or semaphore, by hand, as `Lock.break_lock` does. Return how many that were.

    Raises:
        NameTakenError: the name is that of neither a lock nor a semaphore.
    """
    state = session(client)
    state.run(state.checked())
    found = state.run(scripts.look(state.resource("", name, 0), most=1))
    if found.kind not in BREAKABLE:
        raise NameTakenError(f"{name!r} is {f'a {found.kind}' if found.kind else 'unused'}: no process can hold it")
    initial = scripts.text(state.wire.call("HGET", state.resource(found.kind, name).state, "initial"))
    call = state.holdings.new_id()
    broken = state.run(scripts.break_all(state.resource(found.kind, name, int(initial or 1)), call=call))
    state.holdings.end_id(call)
    return broken


def _answer(reply: Any) -> Any:
    if isinstance(reply, redis.RedisError):
        raise reply
    return reply


def _look(state: Session, members: Sequence[str], most: int) -> list[InUse]:
    """Look at names as `_session/registry.py` has them; leave out those that Redis knows nothing of."""
    looks: list[tuple[str, str, Look]] = []
    for first in range(0, len(members), BATCH):
        parted = [each.partition("}") for each in members[first : first + BATCH]]
        wanted = [(state.resource("", name, 0), condition) for name, _, condition in parted]
        replies = name_scripts.looks(state.wire, wanted, most)
        looks += [(name, condition, _answer(each)) for (name, _, condition), each in zip(parted, replies, strict=True)]
    others = [(name, each.kind, each.now_ms) for name, _, each in looks if each.kind in QUEUES]
    queued = dict(zip([name for name, _, _ in others], _queued(state, others, most), strict=True))
    seen = []
    for name, condition, each in looks:
        if condition:
            waiters = _waiters(each.condition, each.arrivals, each.now_ms)
            seen.append(InUse("Condition", condition, name, 0, (), 0, waiters, each.counts[2]))
        elif each.kind in QUEUES:
            waiters, waiting = queued[name]
            seen.append(InUse(each.kind, name, "", 0, (), 0, waiters, waiting))
        elif each.kind:
            seen.append(_lock(name, each, most))
    return seen


def _lock(name: str, found: Look, most: int) -> InUse:
    holders = tuple(
        Party(
            who(id), max(0.0, found.now_ms / 1000 - token / 1e6), token, remaining,
            lingers=bool(re.match(r"[^/]+/\d+/\d+l", id)),
        )
        for id, token, remaining in found.holders
    )  # fmt: skip
    waiters = _waiters(found.waiters, found.arrivals, found.now_ms)
    # The counts have leases that are over and waiters that died, until the next script ends them: below `most`, what
    # was found is exact.
    holding, waiting, _ = found.counts
    return InUse(
        found.kind, name, "", found.permits,
        holders, holding if holding > most else len(holders), waiters, waiting if waiting > most else len(waiters),
    )  # fmt: skip


def _waiters(ids: Sequence[str], arrivals: Sequence[int], now_ms: int) -> tuple[Party, ...]:
    return tuple(
        Party(who(id), max(0.0, now_ms / 1000 - arrival / 1e6)) for id, arrival in zip(ids, arrivals, strict=True)
    )


def _queued(state: Session, others: Sequence[tuple[str, str, int]], most: int) -> list[tuple[tuple[Party, ...], int]]:
    """Return the waiters of events, barriers, queues and pipes, given by name, kind and the server's time in ms."""
    commands: list[tuple[str | float, ...]] = []
    for name, kind, _ in others:
        for part, _ in QUEUES[kind]:
            key = f"{state.resource(kind, name).state}:{part}"
            commands += [("ZRANGE", key, 0, most - 1, "WITHSCORES"), ("ZCARD", key)]
    replies = iter(_answer(each) for each in (state.wire.batch(commands) if commands else ()))
    answers = []
    for _, kind, now_ms in others:
        waiters: list[Party] = []
        waiting = 0
        for _, timed in QUEUES[kind]:
            for id, score in _pairs(next(replies)):
                waiters.append(Party(who(id), max(0.0, now_ms / 1000 - score / 1e6) if timed else None))
            waiting += int(next(replies))
        answers.append((tuple(waiters), waiting))
    return answers


def _pairs(reply: Sequence[Any]) -> list[tuple[str, float]]:
    """Return members and scores; RESP3 has pairs where RESP2 has one flat list."""
    if reply and isinstance(reply[0], list | tuple):
        return [(scripts.text(id), float(score)) for id, score in reply]
    flat = [scripts.text(each) for each in reply]
    return [(id, float(score)) for id, score in zip(flat[::2], flat[1::2], strict=True)]
