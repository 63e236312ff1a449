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
from interlock._io.refusals import PassingRefusalError
from interlock._io.steps import Signal
from interlock._protocol.scripts import Resource
from interlock._text import one_line


class Lingers(Protocol):
    """What a hold and a wait need of the lock that lingers with them: `lingering_lock.py` has it."""

    hold: "Hold | None"

    @property
    def thread(self) -> int:
        """Who is inside; 0: nobody."""

    @property
    def owner(self) -> caller.Owner | None:
        """Who is inside; None: nobody."""

    @property
    def section(self) -> Section:
        """What stands for the section that runs; None: none does."""

    @property
    def token(self) -> int:
        """The fencing token of the section that runs."""

    def begin(self, hold: "Hold", waiting: int, round_trip: float) -> float:
        """Linger with a lock that Redis has granted; return when to look at it first."""

    def note_writer(self) -> None:
        """Remember that the task inside is about to write."""

    def renewed(self) -> None:
        """Take notice of a lease that was renewed, or lost."""

    def ask(self) -> float:
        """Take notice that another process waits; return when to look whether anybody is inside."""

    def end(self) -> None:
        """End the hold: no thread enters by it any more."""

    def end_turn(self, thread: int) -> None:
        """End the turn of that thread."""


@dataclass(eq=False)
class Hold:
    """One permit that this process has, as far as it knows. The mutex of `Holdings` guards its state."""

    resource: Resource
    id: str
    token: int
    lease: float  # seconds
    deadline: float  # the end of the lease on time.monotonic(), never later than the server's
    owned_by: caller.Owner | None
    task: str  # the task's name, for people
    due: float  # when to renew, on time.monotonic()
    count: int = 1  # how often its owner, an RLock's, has acquired it
    releaser: int | None = None  # who releases it: from then on it is not renewed, whatever the answer
    unanswered: bool = False  # that release got no answer: anybody may send it again
    abandoned: bool = False  # no object of its name is left that could release it: it is not renewed
    refusal: PassingRefusalError | None = None  # why its release had to be sent again
    gone: bool = False  # the server has said that it is lost
    last_token: int = 0  # of the block that came with it, the last that was used
    local_values: LocalValues = field(init=False)  # of the values that the lock guards
    lingering_lock: Lingers | None = None  # that lingers with it: then it says who is inside

    def __post_init__(self) -> None:
        self.local_values = LocalValues(self.token)

    @property
    def owner(self) -> caller.Owner | None:
        """Who holds it; None: the process lingers, and nobody is inside."""
        lingering_lock = self.lingering_lock
        return self.owned_by if lingering_lock is None else lingering_lock.owner

    def note_refusal(self, error: Exception) -> None:
        """Its release is sent again, for this reason."""
        self.refusal = error if isinstance(error, PassingRefusalError) else self.refusal

    @property
    def section_token(self) -> int:
        """The fencing token of the section that runs under it."""
        return self.token if self.lingering_lock is None else self.lingering_lock.token

    @property
    def running(self) -> Section:
        """What stands for the section that runs under it; None: the process lingers, and none does."""
        return self.id if self.lingering_lock is None else self.lingering_lock.section

    def write(self, key: Key, value: Any) -> LocalValue:
        """The section that runs writes a value, as its C type holds it."""
        if self.lingering_lock is not None:
            self.lingering_lock.note_writer()
        return self.local_values.write(key, value, self.running)

    @property
    def lost(self) -> bool:
        """Whether the lease is over, as far as can be known without asking."""
        return self.gone or time.monotonic() >= self.deadline


@dataclass(eq=False)
class Wait:
    """One caller that waits for a permit."""

    resource: Resource
    id: str
    lease: float  # seconds
    due: float
    lingering_lock: Lingers | None = None  # that is to linger with it
    wants: str = ""  # the values that are to come with the grant
    asked: bool = False  # another process waits for what this one has been granted
    arrival: int | None = None
    condition: str = ""  # the name of the Condition that it waits for, until it is notified
    sample: tuple[float, int] = (0.0, 0)  # the latest reading of the server's clock: (when we asked, what it answered)
    grant: "Grant | None" = None
    signal: Signal = field(default_factory=Signal)  # woken when there is a grant

    @property
    def lease_ms(self) -> int:
        """The lease as scripts want it."""
        return round(self.lease * 1000)


@dataclass(frozen=True)
class Grant:
    """What the message that wakes a waiter says, and when it was confirmed."""

    token: int
    end_ms: int  # of the claim, server time
    waiting: int = 0  # how many others wait
    texts: Sequence[str | None] = ()  # the values that it wants; None: gone
    confirmed: float = 0.0


class Anchor:
    """What all objects of one name that were acquired share: while there is one, somebody may release what is held."""


class Holdings:
    """What one process holds and waits for, and the ids of its attempts."""

    def __init__(self, session: str) -> None:
        self.mutex = bookkeeping()
        self.holds: dict[str, Hold] = {}
        self.waits: dict[str, Wait] = {}
        self.sleepers: dict[str, Signal] = {}  # who waits for something else, and asks again when woken
        self.lost: set[tuple[str, str]] = set()  # state keys and modes of what was lost, until it is acquired again
        self._anchors: WeakValueDictionary[str, Anchor] = WeakValueDictionary()  # by state
        self.restarted = float("-inf")  # when Redis was found to be another process, on time.monotonic()
        self.session = session  # what ids begin with
        self._numbers = itertools.count(1)
        self._slots: list[int] = []  # free ones; a slot has one attempt at a time
        self._new_slots = itertools.count(1)
        self._where = one_line(f"{socket.gethostname()}:{os.getpid()}")

    def quiet(self, lease: float) -> float:
        """Seconds for which nobody asks for a lock with such a lease: Redis may have forgotten who holds it."""
        return self.restarted + lease - time.monotonic()

    def new_id(self, mode: str = "") -> str:
        """The id of a new attempt: session / slot / number and mode, and for people host, process and task."""
        try:
            slot = self._slots.pop()
        except IndexError:
            slot = next(self._new_slots)
        number = next(self._numbers)
        task = caller.current.get()
        label = f"{self._where} {task.label}" if task else self._where
        return f"{self.session}/{slot}/{number}{mode} {label}"

    def anchor(self, resource: Resource) -> Anchor:
        """What an object of that name keeps, for as long as what it acquired is to be renewed."""
        found = self._anchors.get(resource.state)
        if found is None:
            with self.mutex:
                found = self._anchors.setdefault(resource.state, Anchor())
                for hold in list(self.holds.values()):
                    if hold.resource.state == resource.state and hold.abandoned and hold.releaser is None:
                        hold.abandoned, hold.due = False, 0.0
        return found

    def abandon(self, holds: Iterable[Hold]) -> list[Hold]:
        """Those whose objects are all gone; not what tasks hold, which is released when they end. Under the mutex."""
        found = []
        for hold in holds:
            owner = hold.owner
            if owner is not None and owner[1] is None and hold.resource.state not in self._anchors:
                hold.abandoned, hold.due = True, hold.deadline
                found.append(hold)
        return found

    def end_id(self, id: str) -> None:
        """The attempt has ended, and the server knows: its slot is free. What got no answer keeps its slot."""
        self._slots.append(int(id.split("/", 2)[1]))

    def forget(self, holds: Iterable[Hold], *, lost: bool) -> None:
        """These are no more, and the server knows."""
        for hold in holds:
            with self.mutex:
                known = self.holds.pop(hold.id, None)
                if lost:
                    self.lost.add((hold.resource.state, hold.resource.mode))
            if known is not None:  # once
                self.end_id(hold.id)

    def mine(self, resource: Resource, owner: caller.Owner | None = None) -> Hold | None:
        """What the owner holds of that name; with no owner given: the caller, else another of this process."""
        with self.mutex:
            return self._choose(resource, owner, again=False)

    def releasable(self, resource: Resource, owner: caller.Owner) -> Hold | None:
        """What the owner may release: its own, else what a coroutine left held that has ended."""
        with self.mutex:
            return self._choose(resource, owner, again=False, left=True)

    def taken(self, hold: Hold) -> None:
        """This one is to be released now, by the caller."""
        with self.mutex:
            hold.releaser, hold.unanswered, hold.due = caller.owner()[0], False, float("inf")

    def take(self, resource: Resource, owner: caller.Owner | None = None, most: int = 1) -> list[Hold]:
        """What is to be released now: nobody else gets the same. Not renewed from here on.

        A release that got no answer may be taken again, and by its own caller also one that was interrupted before it.
        With an owner given, what it may release: as `releasable`.
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
        # what is held, before what is lost, before what was released but not answered; the owner's latest first
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
    """One line: which lease was lost, and what to do."""
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
    """One line: what nobody can release."""
    return (
        f"the {hold.resource.kind} {hold.resource.name!r} went out of scope while held: it is renewed no more, and "
        "free when its lease is over; release it, or keep the object"
    )


def gone_text(hold: Hold) -> str:
    """One line: a lock was given up, but what was written under it could not be stored."""
    return f"released {hold.resource.name!r}, but what was written under it is lost: a value exists no longer"


def unanswered_text(hold: Hold, error: BaseException) -> str:
    """One line: nobody knows whether a lock was given up in time."""
    if isinstance(error, PassingRefusalError):
        return (
            f"the release of {described_hold(hold)} was refused for as long as there was time:"
            f" what was written under it is stored or discarded, whole. {error}"
        )
    return (
        f"no answer to the release of {described_hold(hold)}: what was written under it is"
        " stored or discarded, whole; release it again to know, when Redis is back"
    )
