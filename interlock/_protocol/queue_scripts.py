"""A typed function for each script of the queues, as `interlock._protocol.scripts` has for the locks.

For a queue, `Resource.permits` is its maxsize; 0: no bound.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from interlock._io.steps import Steps
from interlock._protocol import scripts
from interlock._protocol.scripts import Resource, text
from interlock.errors import NameTakenError

End = Literal["r", "w"]  # one end of one way of a Pipe: the reader's or the writer's


@dataclass(frozen=True)
class Answer:
    """What a script answers."""

    code: int
    text: str = ""  # with DONE, the item that was taken; with QUEUED, the arrival


def items_key(resource: Resource) -> str:
    """Return the key of the list of its items."""
    return f"{resource.state}:items"


def keys(resource: Resource) -> tuple[str, ...]:
    """Return KEYS[1..6] of every script of the queues."""
    waiting = (f"{resource.state}:{which}" for which in ("getters", "putters", "heard", "joiners"))
    return resource.state, items_key(resource), *waiting


def put(resource: Resource, *, id: str, wait: bool, arrival: str, item: str) -> Steps[Answer]:
    """Append an item. Return DONE, BUSY if the queue is full, or QUEUED; for a Pipe also BROKEN or GONE."""
    return _answer(resource, (yield from _run(resource, "queue_put", id, int(wait), arrival, item)))


def get(resource: Resource, *, id: str, wait: bool, arrival: str, take: bool, pickles: bool) -> Steps[Answer]:
    """Take an item, or only say that there is one.

    Return DONE, BUSY if the queue is empty, QUEUED or BROKEN; for a Pipe also ENDED or GONE.
    """
    return _answer(resource, (yield from _run(resource, "queue_get", id, int(wait), arrival, int(take), int(pickles))))


def leave(resource: Resource, *, id: str) -> Steps[Answer]:
    """End a call that has waited long enough. Return BUSY, or what the call was answered meanwhile."""
    return _answer(resource, (yield from _run(resource, "queue_leave", id)))


def give_back(resource: Resource, *, id: str) -> Steps[Answer]:
    """End a get that was interrupted: the item that it took becomes the first in the queue again."""
    return _answer(resource, (yield from _run(resource, "queue_give_back", id)))


def done(resource: Resource, *, id: str) -> Steps[Answer]:
    """Note that the work on one item is done. Return DONE, or FULL if no item is unfinished."""
    return _answer(resource, (yield from _run(resource, "queue_done", id)))


def join(resource: Resource, *, id: str) -> Steps[Answer]:
    """Wait until no item is unfinished. Return DONE or QUEUED."""
    return _answer(resource, (yield from _run(resource, "queue_join", id)))


def close(resource: Resource, end: End) -> Steps[None]:
    """Close one end of one way of a Pipe, for all processes that have it."""
    _answer(resource, (yield from _run(resource, "queue_close", end)))


@dataclass(frozen=True)
class Look:
    """The state of a queue."""

    size: int
    unfinished: int
    closed: str  # the ends that are closed: '', 'r', 'w' or 'rw'
    getters: list[str]  # ids in order of arrival
    putters: list[str]


def look(resource: Resource) -> Steps[Look]:
    """Return the state of a queue. This changes nothing."""
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
