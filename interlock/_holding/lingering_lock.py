"""A lock that this process keeps for a while after its release: lingering.

While it lingers, the process holds the lease and serves its own next acquire without asking Redis. Its threads take
turns (`turns.py`). Asked by another process, it gives the lock back at the first release after its linger time, or as
soon as nobody uses it; not asked, when nobody has used it for a while.

The fast paths stand where they are used, in `lock.py` and `value.py`: what they read is a `Bias` of `turns.py`.
"""

import threading
from time import monotonic
from typing import Any

from interlock import caller
from interlock._holding.holdings import Hold, Wait
from interlock._holding.local_values import Key
from interlock._holding.turns import TURN, Turns
from interlock._io.steps import Steps, pause
from interlock._protocol.scripts import Resource
from interlock.errors import InterlockError

ADAPTIVE_MIN, ADAPTIVE_MAX = 0.01, 0.25  # seconds, if nobody says otherwise
ROUND_TRIPS = 16  # to linger for: a hand-over, and what is slower just around it, then costs a tenth at most
SWITCH = 0.001  # seconds: what a hand-over takes beside the network
LINGERING_LEASE_MIN = 1.0  # seconds: with a shorter lease nobody lingers: there are too few tokens in it
LOOK_IDLE = 0.05  # seconds between two looks at whether anybody uses it
LOOK = 0.01  # the same, while another process waits
LOOK_ASKED = 0.002  # the same, when it has just asked
OFTEN = 2  # sections one after the other, LOOK_IDLE apart at most: then it lingers, if nobody has said for how long
FAR = 0.004  # seconds: what takes longer is a round trip over a slow network
COMMIT = 0.2  # seconds that finished sections wait to be committed; a look may come LOOK_IDLE later
WRITTEN_MAX = 1000  # values: each commit looks at all that were written under one hold


class Asker:
    """One procedure that has the turn with Redis, or waits for it."""

    def __init__(self) -> None:
        self._thread, self._coroutine = threading.get_ident(), caller.stepping.coroutine

    def interrupted_by(self, other: "Asker") -> bool:
        """Whether the other blocks the thread of this one: a signal handler or a finalizer, or a call on a loop."""
        return self._thread == other._thread and other._coroutine >= 0


class LingeringLock(Turns):
    """One lock in one process: which thread is inside, what Redis granted it, and how long it lingers.

    Args:
        resource: what the lock is to Redis.
        lease: seconds.
        linger: seconds; None: as the round trips that were measured say.
    """

    def __init__(self, resource: Resource, lease: float, linger: float | None) -> None:
        super().__init__()
        self.resource, self.lease, self._linger = resource, lease, linger
        self._io: dict[int, Asker] = {}  # {0: who} while something is committed, or given back: one after the other
        self.hold: Hold | None = None  # what Redis has granted to this process
        self.returning: Hold | None = None  # what is being given back
        self.wants = ""  # the values that were used under the last hold: to come with the next grant
        self.asked = False  # another process waits for it
        self.linger_until = 0.0
        self.due = float("inf")  # when the heartbeat looks at it
        self.commits = 0  # the number of the last commit
        self.committed_at = 0.0
        # Tasks, and None for no task, that wrote what may not be committed yet, each with the first section that did.
        self._writers: dict[str | None, float | None] = {}
        self._losses: dict[str | None, InterlockError] = {}  # what of theirs was lost
        self._often = 0  # how many strict sections followed one after the other
        self._left_at = self._came_at = -LOOK_IDLE
        self._seen: float | None = None  # the section that ran last when the heartbeat looked
        self._token_of: float | None = None  # the section that asked for a token last
        self._tokens = 0  # how many sections did
        self._begun = 0.0

    # --- strict at first ---

    def lingers(self, round_trip: float) -> bool:
        """Whether the caller is to enter by it. A lock that is used now and then is a strict one.

        Args:
            round_trip: seconds, as measured; who comes back sooner over a slow network would do nothing but wait.
        """
        self._came_at = monotonic()
        pause = self._came_at - self._left_at
        if self._linger is not None or pause < round_trip > FAR or (self._often >= OFTEN and pause < LOOK_IDLE):
            return True
        return self.hold is not None or self.returning is not None or bool(self._losses)

    def left(self) -> None:
        """A section has ended and its lock was given up or lingers."""
        soon = self._came_at - self._left_at < LOOK_IDLE
        self._often, self._left_at = self._often + 1 if soon else 0, monotonic()

    # --- the turn with Redis ---

    def take_io(self, me: Asker) -> Steps[bool]:
        """Wait until nothing else is committed or given back, for a round trip or so.

        Returns:
            Whether the caller has the turn. Else who has it can't go on before the caller returns: see `Asker`.
        """
        while (other := self._io.setdefault(0, me)) is not me:
            if other.interrupted_by(me):
                return False
            yield pause(TURN)
        return True

    @property
    def amid_io(self) -> bool:
        """Whether who has the turn with Redis can't go on before the caller returns."""
        other = self._io.get(0)
        return other is not None and other.interrupted_by(Asker())

    def end_io(self, me: Asker) -> None:
        """What was committed or given back has its answer; or it was not begun."""
        if self._io.get(0) is me:
            del self._io[0]

    # --- the section ---

    def enter_at_once(self) -> bool:
        """Enter if nobody is inside and Redis need not be asked; whether it did."""
        me = threading.get_ident()
        entered = False
        if self._mutex._is_owned():  # a signal handler interrupts its own thread amid such lines: see _holding/mutex.py
            return False
        try:
            with self._mutex:
                if monotonic() < self.good_until and self._take(me):
                    entered = True
                    self._bias_to(me)
        except BaseException:
            if entered:
                self.end_turn(me)
            raise
        return entered

    def note_writer(self) -> None:
        """The section that runs is about to write, and its task, unless it is noted, would not be told of a loss."""
        if not self.bias_holder.noted:
            with self._mutex:
                self._writers.setdefault(self.bias_holder.task, self.section)
                self.bias_holder.noted = True

    def unsent(self) -> dict[Key, Any]:
        """What finished sections wrote and Redis has not stored; all of a section or nothing."""
        hold = self.hold
        return {} if hold is None else self.at_rest(hold.local_values.unsent)[0]

    @property
    def token(self) -> int:
        """The token of the section that runs, of the block that came with the grant; used when it is asked for."""
        assert self.hold is not None
        with self._mutex:
            section = self.section
            if self._token_of is not section is not None:
                self._token_of = section
                self._tokens += 1
        return self.last_token

    @property
    def last_token(self) -> int:
        """The last one that was used of the hold's block."""
        assert self.hold is not None
        return self.hold.token + max(0, self._tokens - 1)

    def to_give_back(self) -> bool:
        """Whether the thread that leaves is to give the lock back: its lease is over, or another's time has come."""
        now = monotonic()
        return now >= self.deadline or self.hold is None or self.hold.gone or (self.asked and now >= self.linger_until)

    # --- what Redis granted ---

    def begin(self, hold: Hold, waiting: int, round_trip: float) -> float:
        """Linger with a lock that Redis has granted while N others wait for it; return when to look at it first."""
        hold.lingering_lock = self
        now = monotonic()
        self.hold, self.asked, self.commits = hold, waiting > 0, 0
        linger = self.linger(round_trip)
        self.linger_until = now + linger
        self._seen, self._tokens, self.committed_at, self._begun = None, 0, now, now
        self.due = now + (min(linger, LOOK) if self.asked else LOOK_IDLE)
        self.renewed()
        return self.due

    def linger(self, round_trip: float) -> float:
        """How long to keep the lock at least while it is used, in seconds."""
        wanted = self._linger
        if wanted is None:
            wanted = min(ADAPTIVE_MAX, max(ADAPTIVE_MIN, ROUND_TRIPS * (round_trip + SWITCH)))
        return min(wanted, self.lease / 4)

    def renewed(self) -> None:
        """The hold has a new end: nobody enters with less than a third of it to run.

        A grant that was confirmed a moment ago has surely the time of its claim, and the lease after the next renewal.
        """
        hold = self.hold
        if hold is not None:
            deadline = 0.0 if hold.gone else hold.deadline
            good_until = deadline - min(hold.lease, hold.deadline - monotonic()) / 3
            self.limit(good_until, min(good_until, self.linger_until) if self.asked else good_until, deadline)

    def doubt(self) -> None:
        """It may be held no longer: who enters or leaves next asks first."""
        self.limit(0.0, 0.0, 0.0)

    def ask(self) -> float:
        """Another process waits: when to look whether anybody uses the lock."""
        if not self.asked:
            self.asked = True
            self.make_room(self.linger_until)
            self._seen = self.bias_holder.entered
            self.due = min(self.due, monotonic() + LOOK_ASKED)
        return self.due

    def forget(self) -> None:
        """In a child made by fork: what was held is the parent's."""
        self.reset()
        self.hold, self._io = None, {}

    def end(self) -> None:
        """It is kept no longer. The hold goes last: who is interrupted before may do it again."""
        self.doubt()
        self.asked = False
        if self.hold is not None:
            self.hold.last_token = self.last_token
            self.wants = self.hold.local_values.wanted()
            self.hold = None

    def close(self) -> dict[Key, Any]:
        """The process ends, and with it whatever section runs; what the others wrote and Redis has not stored."""
        hold = self.hold
        assert hold is not None
        with self._mutex:
            unsent, _ = self._held_up(hold.local_values.unsent)
            self._vacate()
        self.end()
        return unsent

    # --- the heartbeat ---

    def over(self) -> bool:
        """Whether the process is to keep it no longer, as soon as nobody is inside."""
        if self.returning is not None:
            return True
        hold = self.hold
        if hold is None or self.thread:
            return False
        late = self.asked and monotonic() >= self.linger_until
        stale = (
            monotonic() - self._begun > hold.local_values.shortest_ttl / 3
        )  # what is only read here, Redis would forget
        many = self._tokens > tokens(hold.lease) // 2 or len(hold.local_values.written) > WRITTEN_MAX
        return late or stale or many or self._seen is self.bias_holder.entered

    def uncommitted(self) -> bool:
        """Whether something finished has waited long enough."""
        hold = self.hold
        return hold is not None and monotonic() >= self.committed_at + COMMIT and bool(self.unsent())

    def plan(self) -> None:
        """When to look again."""
        now = monotonic()
        self._seen = self.bias_holder.entered
        if self.hold is None and self.returning is None:
            self.due = float("inf")
        elif self.asked and now < self.linger_until:
            self.due = min(self.linger_until, now + LOOK)
        else:
            self.due = now + LOOK_IDLE

    # --- what is lost ---

    def committed(self) -> None:
        """All that was finished before is stored."""
        with self._mutex:
            self.bias_holder.noted = False  # first: who writes from now on notes itself, after this
            hold = self.hold or self.returning
            if hold is None:
                self._writers = {}
                return
            look = hold.local_values.unsent
            unsent, running = self._looked(look) or self._held_up(look)
            if not unsent:
                self._writers = dict([running]) if running and hold.local_values.wrote(running[1]) else {}

    def lose(self, error: InterlockError) -> None:
        """What was finished and not committed is discarded: who wrote it is told when it next asks."""
        with self._mutex:
            self.bias_holder.noted = False  # first, as there
            section, task = self.section, self.bias_holder.task
            amid = section is not None and self._writers.get(task) is section  # it has not finished what it wrote
            for writer in self._writers:
                if not (amid and writer == task):
                    self._losses.setdefault(writer, error)
            wrote = self.hold is not None and section is not None and self.hold.local_values.wrote(section)
            self._writers = {task: section} if wrote else {}

    @property
    def unsettled(self) -> bool:
        """Whether anything may be unsent, or lost and not told. Takes no mutex."""
        return bool(self._writers or self._losses) or self.returning is not None

    @property
    def untold(self) -> list[InterlockError]:
        """What was lost, and those who wrote it have not been told."""
        return list(self._losses.values())

    @property
    def loses(self) -> bool:
        """Whether somebody is still to be told."""
        return bool(self._losses)

    def raise_loss(self) -> None:
        """Raise what the calling task has lost, once."""
        if self._losses:
            error = self.forgive()
            if error is not None:
                raise error

    def forgive(self) -> InterlockError | None:
        """What the calling task has lost, if anything: it is told now."""
        task = caller.current.get()
        with self._mutex:
            return self._losses.pop(task.id if task else None, None)


def tokens(lease: float) -> int:
    """How many tokens come with a grant, one for each entry: as `grant` in lock.lua has it."""
    return int(min(lease, 60.0) * 500_000)


def lingering_with(held: Hold | Wait) -> LingeringLock | None:
    """Return the lock that lingers with a hold, or is to linger with what is waited for; None: it is a strict one."""
    lingering_lock = held.lingering_lock
    assert lingering_lock is None or isinstance(lingering_lock, LingeringLock)
    return lingering_lock
