"""A typed signature around every script of the queues, as `interlock._protocol.scripts` has for the locks.

`Identity.permits` is the queue's maxsize; 0: no bound.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from interlock._io.steps import Steps
from interlock._protocol import scripts
from interlock._protocol.scripts import Resource, text
from interlock.errors import NameTakenError

End = Literal["r", "w"]  # of a Pipe's way: the reader's, the writer's


@dataclass(frozen=True)
class Answer:
    """What a script answers."""

    code: int
    text: str = ""  # DONE: the item that was taken; QUEUED: the arrival


def items_key(resource: Resource) -> str:
    """The list of its items."""
    return f"{resource.state}:items"


def keys(resource: Resource) -> tuple[str, ...]:
    """KEYS[1..6] of every script of the queues."""
    waiting = (f"{resource.state}:{which}" for which in ("getters", "putters", "heard", "joiners"))
    return resource.state, items_key(resource), *waiting


def put(resource: Resource, *, id: str, wait: bool, arrival: str, item: str) -> Steps[Answer]:
    """Append an item: DONE, BUSY if it is full, QUEUED; of a Pipe also BROKEN or GONE."""
    return _answer(resource, (yield from _run(resource, "queue_put", id, int(wait), arrival, item)))


def get(resource: Resource, *, id: str, wait: bool, arrival: str, take: bool, pickles: bool) -> Steps[Answer]:
    """Take an item, or say that there is one: DONE, BUSY if it is empty, QUEUED, BROKEN; of a Pipe also ENDED, GONE."""
    return _answer(resource, (yield from _run(resource, "queue_get", id, int(wait), arrival, int(take), int(pickles))))


def leave(resource: Resource, *, id: str) -> Steps[Answer]:
    """End what has waited long enough: BUSY, or what it was answered meanwhile."""
    return _answer(resource, (yield from _run(resource, "queue_leave", id)))


def give_back(resource: Resource, *, id: str) -> Steps[Answer]:
    """End a get that was interrupted: what it took is the first in the queue again."""
    return _answer(resource, (yield from _run(resource, "queue_give_back", id)))


def done(resource: Resource, *, id: str) -> Steps[Answer]:
    """Note that one item has been worked on: DONE, or FULL if none is unfinished."""
    return _answer(resource, (yield from _run(resource, "queue_done", id)))


def join(resource: Resource, *, id: str) -> Steps[Answer]:
    """Wait until nothing is unfinished: DONE or QUEUED."""
    return _answer(resource, (yield from _run(resource, "queue_join", id)))


def close(resource: Resource, end: End) -> Steps[None]:
    """Close one end of a Pipe's way, for all who have it."""
    _answer(resource, (yield from _run(resource, "queue_close", end)))


@dataclass(frozen=True)
class Look:
    """The state of a queue."""

    size: int
    unfinished: int
    closed: str  # the closed ends
    getters: list[str]  # ids in order of arrival
    putters: list[str]


def look(resource: Resource) -> Steps[Look]:
    """Read the state, changing nothing."""
    reply = yield from _run(resource, "queue_look")
    _answer(resource, reply[:2])
    _, size, unfinished, closed, getters, putters = reply
    return Look(int(size), int(unfinished), text(closed), [text(id) for id in getters], [text(id) for id in putters])


def _run(resource: Resource, name: str, *argv: str | int) -> Steps[Any]:
    return scripts.run(name, keys(resource), (*resource.argv, *argv))


def _answer(resource: Resource, reply: Sequence[Any]) -> Answer:
    code, said = int(reply[0]), text(reply[1]) if len(reply) > 1 else ""
    if code == scripts.OTHER_PERMITS:
        raise NameTakenError(
            f"the {resource.kind} {resource.name!r} has maxsize {said}, not {resource.permits}: {scripts.CHANGED}; "
            "unlink() deletes its items"
        )
    resource.raise_mismatch(reply)
    return Answer(code, said)
