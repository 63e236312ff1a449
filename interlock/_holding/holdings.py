"""What one process holds and waits for: the state that callers, the heartbeat and the listener share."""

import itertools
import os
import socket
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from weakref import WeakValueDictionary

from interlock import caller
from interlock._holding.local_values import Key, LocalValue, LocalValues, Section
from interlock._holding.mutex import bookkeeping
from interlock._holding.turns import Turns
from interlock._io.refusals import PassingRefusalError
from interlock._io.steps import Signal
from interlock._protocol.scripts import Resource
from interlock._text import one_line


class Lingers(Protocol):
    """What a hold and a wait need of the lock that lingers with them; the class is in `lingering_lock.py`."""

    hold: "Hold | None"
    turns: Turns

    @property
    def token(self) -> int:
        """The fencing token of the section that runs."""

    def begin(self, hold: "Hold", waiting: int, round_trip: float) -> float:
        """Linger with a lock that Redis has granted; return when the heartbeat is to look at it first."""

    def note_writer(self) -> None:
        """Remember that the task inside is about to write."""

    def renewed(self) -> None:
        """Take notice of a lease that was renewed, or lost."""

    def ask(self) -> float:
        """Take notice that another process waits; return when to look whether a thread is inside."""

    def end(self) -> None:
        """End the hold: no thread enters under it any more."""


@dataclass(eq=False)
class Hold:
    """One permit that this process has, as far as it knows. The mutex of `Holdings` guards its state."""

    resource: Resource
    id: str
    token: int
    lease: float  # seconds
    deadline: float  # the end of the lease on time.monotonic(), never later than for the server
    owned_by: caller.Owner | None  # the owner, unless a lock lingers with it
    task: str  # the owner's task by name and id, for people
    due: float  # when the heartbeat is to renew it, on time.monotonic()
    count: int = 1  # how often the owner has acquired it, if it is an RLock's
    releaser: int | None = None  # the thread that releases it: the heartbeat renews it no more, whatever the answer
    unanswered: bool = False  # Redis did not answer that release: any caller may send it again
    abandoned: bool = False  # no object of its name is left to release it: the heartbeat renews it no more
    refusal: PassingRefusalError | None = None  # why its release had to be sent again
    gone: bool = False  # the server has said that it is lost
    discarded: bool = False  # Redis refused a commit: the local values show what never was
    last_token: int = 0  # the last token that was used of the block that came with the grant
    local_values: LocalValues = field(init=False)  # the copies of the values that the lock guards
    lingering_lock: Lingers | None = None  # the lock that lingers with it: then its turns know which thread is inside

    def __post_init__(self) -> None:
        self.local_values = LocalValues(self.token)

    @property
    def owner(self) -> caller.Owner | None:
        """The thread or coroutine that holds it, and its task; None: the lock lingers, and no thread is inside."""
        lingering_lock = self.lingering_lock
        return self.owned_by if lingering_lock is None else lingering_lock.turns.owner

    def note_refusal(self, error: Exception) -> None:
        """Note the reason why its release is sent again, if the server refused it for now."""
        self.refusal = error if isinstance(error, PassingRefusalError) else self.refusal

    @property
    def section_token(self) -> int:
        """The fencing token of the section that runs under it."""
        return self.token if self.lingering_lock is None else self.lingering_lock.token

    @property
    def running(self) -> Section:
        """The object that identifies the section under it; None: the lock lingers, and no section runs."""
        return self.id if self.lingering_lock is None else self.lingering_lock.turns.section

    def write(self, key: Key, value: Any) -> LocalValue:
        """Write a value, as its C type holds it, for the section that runs; return the copy."""
        if self.lingering_lock is not None:
            self.lingering_lock.note_writer()
        return self.local_values.write(key, value, self.running)

    @property
    def lost(self) -> bool:
        """Whether the lease is over, as far as the process knows without asking Redis."""
        return self.gone or time.monotonic() >= self.deadline


@dataclass(eq=False)
class Wait:
    """One caller that waits for a permit."""

    resource: Resource
    id: str
    lease: float  # seconds
    due: float  # when the heartbeat is to ask again, on time.monotonic()
    lingering_lock: Lingers | None = None  # the lock that is to linger with the grant
    wants: str = ""  # the values that are to come with the grant
    asked: bool = False  # another process waits for the lock that this one has been granted
    arrival: int | None = None  # its arrival in the queue; None: the server has not said it yet
    condition: str = ""  # the name of the Condition that it waits for, until it is notified
    sample: tuple[float, int] = (0.0, 0)  # the latest reading of the server's clock: (when we asked, server time in ms)
    grant: "Grant | None" = None
    signal: Signal = field(default_factory=Signal)  # woken when the grant has come

    @property
    def lease_ms(self) -> int:
        """The lease in ms, as scripts want it."""
        return round(self.lease * 1000)


@dataclass(frozen=True)
class Grant:
    """What the message that wakes a waiter says, and when the inbox confirmed the grant."""

    token: int
    end_ms: int  # the end of the claim, in ms of server time
    waiting: int = 0  # how many others wait
    texts: Sequence[str | None] = ()  # the values that the waiter wants; None: one is gone
    confirmed: float = 0.0  # on time.monotonic()


class Anchor:
    """An object that all acquired primitives of one name keep: while it lives, a caller may release what is held."""


class Holdings:
    """What one process holds and waits for, and the ids of its attempts to get it."""

    def __init__(self, session: str) -> None:
        self.mutex = bookkeeping()
        self.holds: dict[str, Hold] = {}
        self.waits: dict[str, Wait] = {}
        self.sleepers: dict[str, Signal] = {}  # of callers that wait for something else: a woken one asks again
        self.lost: set[tuple[str, str]] = set()  # state keys and modes of what was lost, until it is acquired again
        self._anchors: WeakValueDictionary[str, Anchor] = WeakValueDictionary()  # by state key
        self.restarted = float("-inf")  # when Redis was last found to be another process, on time.monotonic()
        self.session = session  # the id of the session, with which the ids of attempts begin
        self._numbers = itertools.count(1)
        self._slots: list[int] = []  # the free ones; a slot has one attempt at a time
        self._new_slots = itertools.count(1)
        self._where = one_line(f"{socket.gethostname()}:{os.getpid()}")

    def quiet(self, lease: float) -> float:
        """Return for how many seconds to ask for no lock with such a lease: Redis may have forgotten who holds it."""
        return self.restarted + lease - time.monotonic()

    def new_id(self, mode: str = "") -> str:
        """Return the id of a new attempt: session / slot / number and mode, and for people host, process and task."""
        try:
            slot = self._slots.pop()
        except IndexError:
            slot = next(self._new_slots)
        number = next(self._numbers)
        task = caller.current.get()
        label = f"{self._where} {task.label}" if task else self._where
        return f"{self.session}/{slot}/{number}{mode} {label}"

    def anchor(self, resource: Resource) -> Anchor:
        """Return the anchor of that name. An object keeps it for as long as what it acquired is to be renewed."""
        found = self._anchors.get(resource.state)
        if found is None:
            with self.mutex:
                found = self._anchors.setdefault(resource.state, Anchor())
                for hold in list(self.holds.values()):
                    if hold.resource.state == resource.state and hold.abandoned and hold.releaser is None:
                        hold.abandoned, hold.due = False, 0.0
        return found

    def abandon(self, holds: Iterable[Hold]) -> list[Hold]:
        """Mark as abandoned, and return, the holds of which no object is left. Call it under the mutex.

        What a task holds is not among them: it is released when the task ends.
        """
        found = []
        for hold in holds:
            owner = hold.owner
            if owner is not None and owner[1] is None and hold.resource.state not in self._anchors:
                hold.abandoned, hold.due = True, hold.deadline
                found.append(hold)
        return found

    def end_id(self, id: str) -> None:
        """Free the slot of an attempt that has ended, as the server knows. A call without an answer keeps its slot."""
        self._slots.append(int(id.split("/", 2)[1]))

    def forget(self, holds: Iterable[Hold], *, lost: bool) -> None:
        """Drop these holds: they have ended, and the server knows. `lost`: note that their leases were lost."""
        for hold in holds:
            with self.mutex:
                known = self.holds.pop(hold.id, None)
                if lost:
                    self.lost.add((hold.resource.state, hold.resource.mode))
            if known is not None:  # so that the slot is freed once
                self.end_id(hold.id)

    def mine(self, resource: Resource, owner: caller.Owner | None = None) -> Hold | None:
        """Return what the owner holds of that name; without an owner: what the caller does, else another one here."""
        with self.mutex:
            return self._choose(resource, owner, again=False)

    def releasable(self, resource: Resource, owner: caller.Owner) -> Hold | None:
        """Return what the owner may release: its own hold, else one that a coroutine left which has ended."""
        with self.mutex:
            return self._choose(resource, owner, again=False, left=True)

    def taken(self, hold: Hold) -> None:
        """Note that the caller releases this hold now: the heartbeat renews it no more."""
        with self.mutex:
            hold.releaser, hold.unanswered, hold.due = caller.owner()[0], False, float("inf")

    def take(self, resource: Resource, owner: caller.Owner | None = None, most: int = 1) -> list[Hold]:
        """Return up to `most` holds for the caller to release now. No other caller gets the same ones.

        From here on, the heartbeat does not renew them. A caller may take a hold again whose release got no answer; the
        caller that released it may also do so if it was interrupted before the answer. With an owner given, these are
        holds that the owner may release: as `releasable`.
        """
        taken: list[Hold] = []
        with self.mutex:
            while len(taken) < most and (hold := self._choose(resource, owner, again=True, left=True, but=taken)):
                hold.releaser, hold.unanswered, hold.due = caller.owner()[0], False, float("inf")
                taken.append(hold)
        return taken

    def _choose(
        self,
        resource: Resource,
        owner: caller.Owner | None,
        *,
        again: bool,
        left: bool = False,
        but: Iterable[Hold] = (),
    ) -> Hold | None:
        me = caller.owner()
        mine = [
            hold
            for hold in list(self.holds.values())
            if (hold.resource.state, hold.resource.mode) == (resource.state, resource.mode)
            and hold.owner is not None
            and (hold.releaser is None or (again and (hold.unanswered or hold.releaser == me[0])))
            and hold not in but
        ]
        own = [hold for hold in mine if hold.owner == (owner or me)]
        # What is held comes first, then what is lost, then what was released without an answer. Of the owner's own,
        # the latest comes first.
        if own:
            candidates = own[::-1]
        elif owner is None:
            candidates = mine
        else:
            candidates = [hold for hold in mine if caller.ended(hold.owner)] if left else []
        return min(candidates, key=lambda hold: (hold.releaser is not None, hold.gone), default=None)


def described_hold(hold: Hold) -> str:
    """Return which lock it is, and the token of its grant."""
    return f"{hold.resource.kind} {hold.resource.name!r} (token {hold.token})"


def lost_text(hold: Hold) -> str:
    """Return one line that says which lease was lost, and what to do."""
    if hold.refusal is not None:
        return (
            f"the lease of {described_hold(hold)} ran out while its release was refused: "
            f"what was written under it is discarded. {hold.refusal}"
        )
    return (
        f"the lease of {described_hold(hold)} is over: what was written under it is discarded;"
        " acquire it again, with a longer lease if this process was only slow"
    )


def abandoned_text(hold: Hold) -> str:
    """Return one line that says which hold no object can release any more."""
    return (
        f"the {hold.resource.kind} {hold.resource.name!r} went out of scope while held: it is renewed no more, and "
        "free when its lease is over; release it, or keep the object"
    )


def gone_text(hold: Hold) -> str:
    """Return one line: a lock was given up, but Redis could not store what was written under it."""
    return f"released {hold.resource.name!r}, but what was written under it is lost: a value exists no longer"


def unanswered_text(hold: Hold, error: BaseException) -> str:
    """Return one line: the process does not know whether a lock was given up in time."""
    if isinstance(error, PassingRefusalError):
        return (
            f"the release of {described_hold(hold)} was refused for as long as there was time:"
            f" what was written under it is stored or discarded, whole. {error}"
        )
    return (
        f"no answer to the release of {described_hold(hold)}: what was written under it is"
        " stored or discarded, whole; release it again to know, when Redis is back"
    )
