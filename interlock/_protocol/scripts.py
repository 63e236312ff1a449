"""A typed function for each Lua script, so that no caller can mix up the positions of KEYS and ARGV.

Each function is a procedure (`_io/steps.py`) of one step. Every script may be sent twice: a caller that gets no reply
sends it again.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, TypeAlias

import redis
from redis.exceptions import NoScriptError

from interlock._io.steps import Steps
from interlock._io.wire import Wire
from interlock.errors import InterlockError, NameTakenError

# The codes that scripts return first. lua/attempt.lua has the same list; a test compares the two.
GRANTED, BUSY, QUEUED, DONE, ENDED = 1, 0, 2, 3, 4
LOST, STALE, OTHER_KIND, OTHER_PERMITS, FULL, GONE, BROKEN = -1, -2, -3, -4, -5, -6, -7
# These have no `unlink`: Redis forgets their keys a day after their last use.
LOCK_KINDS = ("Lock", "RLock", "RWLock")
CHANGED = "pass the same; to change it, unlink() it when no process uses the old one any more, or choose a new name"
# The first word of a script's name -> the file of the state that the script works on, which stands before the script.
STATES = {"lock": "lock", "semaphore": "lock", "condition": "lock", "queue": "queue"}
ALONE = ("lock_acquire", "lock_release")  # these have a short way for a lock that only one caller wants

Writes: TypeAlias = Mapping[str, tuple[str | dict[str, str], int | None]]
"""What a script stores: key in Redis -> the text of a value, or elements of an array by index; and a ttl in ms."""


@dataclass(frozen=True)
class Script:
    """The text of one script and the digest by which a server knows it."""

    text: str
    digest: str


@cache
def script(name: str) -> Script:
    """Return the script of that name, behind what all scripts share and what the scripts of its kind share."""
    folder = files("interlock._protocol") / "lua"
    state = STATES.get(name.partition("_")[0])
    short_way = [f"{name}_alone"] if name in ALONE else []
    spread = ["lock_spread"] if state == "lock" and name != "lock_look" else []  # that one changes nothing
    return composed(folder, ["attempt", *short_way, *([state] if state else []), *spread, name])


def composed(folder: Traversable, parts: Iterable[str]) -> Script:
    """Return the script that is made of these files of a folder, one behind the other."""
    text = "".join((folder / f"{part}.lua").read_text() for part in parts)
    return Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


def run(name: str, keys: Sequence[str], argv: Sequence[str | int]) -> Steps[Any]:
    """Run a script and return its reply: one round trip, or two if the server does not know the script yet."""
    wanted = script(name)
    try:
        return (yield ("EVALSHA", wanted.digest, len(keys), *keys, *argv))
    except NoScriptError:
        return (yield ("EVAL", wanted.text, len(keys), *keys, *argv))


def text(reply: str | bytes | float | None) -> str:
    """Return a reply as text, whether the client decodes replies or not."""
    if isinstance(reply, bytes):
        return reply.decode()
    return "" if reply is None else str(reply)


@dataclass(frozen=True)
class Resource:
    """What one Lock or Semaphore is to Redis."""

    state: str  # all its keys begin with this key, which has the hash tag for a Cluster
    name: str
    kind: str
    permits: int = 1
    ttl_ms: int | None = None  # how long a semaphore remembers that it has grown; None: for ever
    mode: str = ""  # "w" for a writer of an RWLock

    @property
    def keys(self) -> tuple[str, str, str]:
        """KEYS[1..3] of every script of locks."""
        return self.state, f"{self.state}:holders", f"{self.state}:queue"

    @property
    def argv(self) -> tuple[str | int, ...]:
        """ARGV[1..3] of every script of locks."""
        return self.kind, self.permits, "" if self.ttl_ms is None else self.ttl_ms

    def raise_mismatch(self, reply: Sequence[Any]) -> None:
        """Raise the error if the reply refuses this resource or this attempt.

        Raises:
            NameTakenError: the name already stands for something else.
            InterlockError: the attempt has ended already.
        """
        code = int(reply[0])
        if code == OTHER_KIND:
            kind = text(reply[1])
            free = "wait a day after its last use" if kind in LOCK_KINDS else f"unlink() the {kind} if nobody uses it"
            raise NameTakenError(
                f"{self.name!r} is a {kind} already, not a {self.kind}: choose another name, or {free}"
            )
        if code == OTHER_PERMITS:
            raise NameTakenError(
                f"the {self.kind} {self.name!r} has {text(reply[1])} permits, not {self.permits}: {CHANGED}"
            )
        if code == STALE:
            raise InterlockError(f"this attempt at {self.kind} {self.name!r} has ended already: call it again")


@dataclass(frozen=True)
class Asked:
    """The answer to an acquire."""

    code: int  # GRANTED, BUSY or QUEUED
    token: int  # with GRANTED, the fencing token; with QUEUED, the arrival; else 0
    ms: int  # with GRANTED, the end of the lease in server ms; else the ms until a lease ends, or -1
    now_ms: int  # server time
    texts: Sequence[str | None] = ()  # with GRANTED, the values that the asker wants; None: it exists no longer


def acquire(
    resource: Resource, *, id: str, lease_ms: int, wait: bool, arrival: int | None = None, wants: str = ""
) -> Steps[Asked]:
    """Ask for a permit. The answer is granted, busy or queued."""
    argv = (*resource.argv, id, lease_ms, int(wait), "" if arrival is None else arrival, wants)
    reply = yield from run("lock_acquire", resource.keys, argv)
    resource.raise_mismatch(reply)
    code, number, ms, now, *values = reply
    return Asked(int(code), int(text(number) or 0), int(text(ms)), int(now), shipped(text(values[0])) if values else ())


def shipped(values: str) -> Sequence[str | None]:
    """Return the values that came with a grant; None for a value that exists no longer."""
    return [value or None for value in json.loads(values)] if values else ()


def commit(resource: Resource, *, id: str, token: int, number: int, writes: Writes) -> Steps[int]:
    """Store what finished sections wrote, and keep the lock. Return DONE, LOST or GONE."""
    keys, values = _to_store(writes)
    reply = yield from run("lock_commit", (*resource.keys, *keys), (*resource.argv, id, token, number, *values))
    resource.raise_mismatch(reply)
    return int(reply[0])


def _to_store(writes: Writes) -> tuple[list[str], list[str | int]]:
    """Return the KEYS and the ARGV for what a holder wrote."""
    rest: list[str | int] = []
    for held, ttl_ms in writes.values():
        rest += [held if isinstance(held, str) else f"*:{json.dumps(held)}", "" if ttl_ms is None else ttl_ms]
    return list(writes), rest


def release(
    resource: Resource, *, id: str, token: int, last_token: int = 0, writes: Writes | None = None
) -> Steps[int]:
    """Store what the holder wrote, and hand the lock over. Return DONE, LOST or GONE."""
    keys, values = _to_store(writes or {})
    reply = yield from run("lock_release", (*resource.keys, *keys), (*resource.argv, id, token, last_token, *values))
    resource.raise_mismatch(reply)
    return int(reply[0])


def release_permits(
    resource: Resource, *, call: str, n: int, bound: int | None, own: Sequence[tuple[str, int]]
) -> Steps[int]:
    """Give n permits back, first those that the caller holds, which are (id, token) in `own`.

    Return DONE, LOST or FULL.
    """
    argv = (*resource.argv, call, n, "" if bound is None else bound, *(item for pair in own for item in pair))
    reply = yield from run("semaphore_release", resource.keys, argv)
    resource.raise_mismatch(reply)
    return int(reply[0])


def abandon(resource: Resource, *, id: str, condition: str = "") -> Steps[None]:
    """Leave the wait queue, or pass on the grant that has come meanwhile."""
    resource.raise_mismatch((yield from run("lock_abandon", resource.keys, (*resource.argv, id, condition))))


def condition_wait(
    resource: Resource,
    *,
    id: str,
    token: int,
    last_token: int = 0,
    writes: Writes,
    again: str,
    condition: str,
) -> Steps[tuple[int, int, int]]:
    """Release a lock and wait for a Condition of it.

    Return (QUEUED, arrival, server ms), or (LOST or GONE, 0, 0).
    """
    keys, values = _to_store(writes)
    reply = yield from run(
        "condition_wait", (*resource.keys, *keys), (*resource.argv, id, token, last_token, again, condition, *values)
    )
    resource.raise_mismatch(reply)
    code, arrival, now = reply if len(reply) == 3 else (reply[0], 0, 0)
    return int(code), int(float(text(arrival))), int(now)


def condition_notify(
    resource: Resource, *, id: str, token: int, call: str, condition: str, n: int | None
) -> Steps[int]:
    """Notify n waiters of a Condition; None: all. Return DONE or LOST."""
    argv = (*resource.argv, id, token, call, condition, -1 if n is None else n)
    reply = yield from run("condition_notify", resource.keys, argv)
    resource.raise_mismatch(reply)
    return int(reply[0])


def condition_leave(resource: Resource, *, id: str, condition: str) -> Steps[tuple[bool, int | None]]:
    """End the wait for a Condition without a notification, and queue for the lock.

    Return whether the waiter was notified meanwhile, and its arrival if it is in the wait queue of the lock.
    """
    notified, arrival = yield from run("condition_leave", resource.keys, (*resource.argv, id, condition))
    return bool(notified), int(text(arrival)) if text(arrival) else None


def add(resource: Resource, *, call: str, value: str, step: str, ttl_ms: int | None) -> Steps[int]:
    """Add to the value at the key `value`, without the lock that guards it. Return DONE or GONE."""
    argv = (*resource.argv, call, step, "" if ttl_ms is None else ttl_ms)
    reply = yield from run("lock_add", (*resource.keys, value), argv)
    resource.raise_mismatch(reply)
    return int(reply[0])


def break_all(resource: Resource, *, call: str) -> Steps[int]:
    """End the leases of all holders. Return how many leases that were."""
    reply = yield from run("lock_break", resource.keys, (*resource.argv, call))
    resource.raise_mismatch(reply)
    return int(reply[0])


def load_confirm(wire: Wire) -> None:
    """Load the script whose reply no thread awaits, lock_confirm, into every server."""
    wire.load(script("lock_confirm").text)


def confirm_command(resource: Resource, *, id: str, token: int, lease_ms: int) -> tuple[str | int, ...]:
    """Return the command that turns a claim into a lease. The caller sends it without awaiting its reply."""
    argv = (*resource.argv, id, token, lease_ms)
    return ("EVALSHA", script("lock_confirm").digest, len(resource.keys), *resource.keys, *argv)


@dataclass(frozen=True)
class Beat:
    """What the heartbeat of one process says of one name: what the process still holds, and where it still waits."""

    resource: Resource
    holds: Sequence[tuple[str, int, int]]  # id, token, lease in ms
    waiters: Sequence[tuple[str, int, str]]  # id, arrival, the name of the Condition that it waits for or ''

    @property
    def argv(self) -> list[str | int]:
        """ARGV of lock_beat."""
        rows: list[tuple[str | int, ...]] = [*self.holds, *self.waiters]
        return [*self.resource.argv, len(self.holds), *(item for row in rows for item in row)]


@dataclass(frozen=True)
class Heard:
    """The answer to a beat."""

    now_ms: int  # server time
    soonest_ms: int  # ms until the next lease ends; -1: no id holds
    # For each hold, the end of its lease in server ms; 0: the lease is lost; -1: another's release ended it.
    ends_ms: list[int]
    # For each waiter that has been granted a permit, its token and the end of its claim in server ms; else None.
    grants: list[tuple[int, int] | None]
    waiting: int = 0  # how many ids are in the wait queue, of all processes


def beat(said: Beat) -> Steps[Heard]:
    """Renew the leases of one name, and ask again for its waiters."""
    return _heard((yield from run("lock_beat", said.resource.keys, said.argv)))


def beats(wire: Wire, said: Sequence[Beat]) -> list[Heard | redis.RedisError]:
    """Renew leases and ask again for waiters, for many names in one round trip to each server.

    If a name's beat fails, its answer is the error.
    """
    wanted = script("lock_beat")
    commands = [("EVALSHA", wanted.digest, len(each.resource.keys), *each.resource.keys, *each.argv) for each in said]
    replies = wire.batch(commands)
    if any(isinstance(reply, NoScriptError) for reply in replies):
        wire.load(wanted.text)
        replies = wire.batch(commands)
    return [reply if isinstance(reply, redis.RedisError) else _heard(reply) for reply in replies]


def _heard(reply: Sequence[Any]) -> Heard:
    now, soonest, ends, grants, waiting = reply
    pairs = [text(grant).split() for grant in grants]
    granted = [(int(pair[0]), int(pair[1])) if pair else None for pair in pairs]
    return Heard(int(now), int(soonest), [int(end) for end in ends], granted, int(waiting))


@dataclass(frozen=True)
class Look:
    """The holders and the waiters of one name."""

    kind: str  # '' if nothing of this name exists
    permits: int
    holders: list[tuple[str, int, float]]  # id, token, seconds until the lease ends
    waiters: list[str]  # ids in order of arrival
    condition: list[str]  # the ids that wait for a notification, in order of arrival
    now_ms: int = 0  # server time
    arrivals: Sequence[int] = ()  # of the waiters, in us of server time; of those of the Condition, if one was named
    counts: tuple[int, int, int] = (0, 0, 0)  # ids that hold, wait, and wait for the Condition, also those left out


def look(resource: Resource, *, condition: str = "", most: int = 0) -> Steps[Look]:
    """Return the holders and the waiters, and who waits for the Condition of that name. This changes nothing.

    Args:
        resource: the lock or semaphore.
        condition: the name of a Condition; '': none.
        most: how many holders, and waiters, to return; 0: all.
    """
    return looked((yield from run("lock_look", resource.keys, (*resource.argv, condition, most))), condition)


def looked(reply: Sequence[Any], condition: str) -> Look:
    """Return what the script that looks has answered."""
    kind, permits, now, holders, waiters, notified, counts = reply
    flat = [text(item) for item in holders]
    rows = [
        (id, int(token.rstrip("?")), (int(end) - int(now)) / 1000)
        for id, token, end in zip(flat[::3], flat[1::3], flat[2::3], strict=True)
    ]
    waiting, notified = ([text(item) for item in pairs] for pairs in (waiters, notified))
    arrivals = [int(float(arrival)) for arrival in (notified if condition else waiting)[1::2]]
    held, queued, in_condition = map(int, counts)
    return Look(
        text(kind), int(permits), rows, waiting[::2], notified[::2], int(now), arrivals, (held, queued, in_condition)
    )
