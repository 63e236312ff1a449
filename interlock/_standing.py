"""What one process holds and waits for: the state that callers, the heartbeat and the listener share."""

import itertools
import os
import socket
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from interlock import caller
from interlock._scripts import Identity
from interlock._steps import Signal


@dataclass(eq=False)
class Hold:
    """One permit that this process has, as far as it knows. The standing's mutex guards its state."""

    of: Identity
    id: str
    token: int
    lease: float  # seconds
    deadline: float  # the end of the lease on time.monotonic(), never later than the server's
    owner: caller.Owner
    task: str  # the task's name, for people
    due: float  # when to renew, on time.monotonic()
    count: int = 1  # how often its owner, an RLock's, has acquired it
    releaser: int | None = None  # who releases it: from then on it is not renewed, whatever the answer
    unanswered: bool = False  # that release got no answer: anybody may send it again
    gone: bool = False  # the server has said that it is lost
    writes: dict[str, tuple[str | dict[str, str], int | None]] = field(default_factory=dict)
    """What the release is to store: key -> what a value holds, or an array's elements by index, and its ttl in ms."""

    @property
    def lost(self) -> bool:
        """Whether the lease is over, as far as can be known without asking."""
        return self.gone or time.monotonic() >= self.deadline


@dataclass(eq=False)
class Wait:
    """One caller that waits for a permit."""

    of: Identity
    id: str
    lease: float  # seconds
    due: float
    arrival: int | None = None
    condition: str = ""  # the name of the Condition that it waits for, until it is notified
    sample: tuple[float, int] = (0.0, 0)  # the latest reading of the server's clock: (when we asked, what it answered)
    grant: tuple[int, int, float] | None = None  # token, end of the claim in server ms, when it was confirmed
    signal: Signal = field(default_factory=Signal)  # woken when there is a grant

    @property
    def lease_ms(self) -> int:
        """The lease as scripts want it."""
        return round(self.lease * 1000)


class Standing:
    """What one process holds and waits for, and the ids of its attempts."""

    def __init__(self, session: str) -> None:
        self.mutex = threading.Lock()
        self.holds: dict[str, Hold] = {}
        self.waits: dict[str, Wait] = {}
        self.sleepers: dict[str, Signal] = {}  # who waits for something else, and asks again when woken
        self.lost: set[tuple[str, str]] = set()  # state keys and modes of what was lost, until it is acquired again
        self.session = session  # what ids begin with
        self._numbers = itertools.count(1)
        self._slots: list[int] = []  # free ones; a slot has one attempt at a time
        self._slots_made = 0
        self._where = f"{socket.gethostname()}:{os.getpid()}"

    def new_id(self, mode: str = "") -> str:
        """The id of a new attempt: session / slot / number and mode, and for people host, process and task."""
        with self.mutex:
            if self._slots:
                slot = self._slots.pop()
            else:
                self._slots_made += 1
                slot = self._slots_made
            number = next(self._numbers)
        task = caller.current.get()
        label = f"{self._where} {task.name}[{task.id}]" if task else self._where
        return f"{self.session}/{slot}/{number}{mode} {label}"

    def end_id(self, id: str) -> None:
        """The attempt has ended, and the server knows: its slot is free. What got no answer keeps its slot."""
        self._slots.append(int(id.split("/", 2)[1]))

    def forget(self, holds: Iterable[Hold], *, lost: bool) -> None:
        """These are no more, and the server knows."""
        for hold in holds:
            with self.mutex:
                self.holds.pop(hold.id, None)
                if lost:
                    self.lost.add((hold.of.state, hold.of.mode))
            self.end_id(hold.id)

    def mine(self, of: Identity, owner: caller.Owner | None = None) -> Hold | None:
        """What the owner holds of that name; with no owner given: the caller, else another of this process."""
        with self.mutex:
            return self._choose(of, owner, again=False)

    def take(self, of: Identity, owner: caller.Owner | None = None, most: int = 1) -> list[Hold]:
        """What is to be released now: nobody else gets the same. Not renewed from here on.

        A release that got no answer may be taken again, and by its own caller also one that was interrupted before it.
        """
        taken: list[Hold] = []
        with self.mutex:
            while len(taken) < most and (hold := self._choose(of, owner, again=True, but=taken)):
                hold.releaser, hold.unanswered = caller.owner()[0], False
                hold.due = float("inf")
                taken.append(hold)
        return taken

    def _choose(
        self, of: Identity, owner: caller.Owner | None, *, again: bool, but: Iterable[Hold] = ()
    ) -> Hold | None:
        me = caller.owner()
        mine = [
            hold
            for hold in self.holds.values()
            if (hold.of.state, hold.of.mode) == (of.state, of.mode)
            and (hold.releaser is None or (again and (hold.unanswered or hold.releaser == me[0])))
            and hold not in but
        ]
        own = [hold for hold in mine if hold.owner == (owner or me)]
        # what is held, before what is lost, before what was released but not answered; the owner's latest first
        candidates = own[::-1] if own or owner is not None else mine
        return min(candidates, key=lambda hold: (hold.releaser is not None, hold.gone), default=None)
