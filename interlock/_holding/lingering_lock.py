"""A lock that lingers: this process keeps it for a while after its release.

While a lock lingers, the process holds the lease and serves its own next acquire without asking Redis. Its threads take
turns (`turns.py`). If another process asks for the lock, this process gives it back at the first release after its
linger time, or as soon as no thread uses it. If no other process asks, this process gives it back when no thread has
used it for a while.

The fast paths are in `lock.py` and `value.py`; they read the `Bias` of a lock's turns.
"""

import threading
from time import monotonic
from typing import Any

from interlock import caller
from interlock._holding.holdings import Hold, Wait
from interlock._holding.local_values import Key
from interlock._holding.mutex import bookkeeping
from interlock._holding.turns import TURN, Turns
from interlock._io.deadline import Deadline
from interlock._io.steps import Steps, pause
from interlock._protocol.scripts import Resource
from interlock.errors import InterlockError

ADAPTIVE_MIN, ADAPTIVE_MAX = 0.01, 0.25  # seconds that a lock lingers, if its user gives no `linger`
ROUND_TRIPS = 16  # to linger for: then a hand-over, and the slower sections just around it, cost a tenth at most
SWITCH = 0.001  # seconds that a hand-over takes beside the network
LINGERING_LEASE_MIN = 1.0  # seconds: with a shorter lease no lock lingers, for its grant brings too few tokens
LOOK_IDLE = 0.05  # seconds between two looks of the heartbeat at whether a thread uses the lock
LOOK = 0.01  # the same, while another process waits
LOOK_ASKED = 0.002  # the same, when another process has just asked
OFTEN = 2  # sections one after the other, LOOK_IDLE apart at most: then a lock lingers whose user gives no `linger`
FAR = 0.004  # seconds: a longer round trip goes over a slow network
COMMIT = 0.2  # seconds until the heartbeat commits what finished sections wrote; its look may come LOOK_IDLE later
INTERRUPTING_MAX = 1.0  # seconds that a signal handler waits for another thread's round trip, when that may wait for it
WRITTEN_MAX = 1000  # values written under one hold, after which it ends: each commit looks at all of them


class Asker:
    """One procedure that has the turn to commit or to give back, or waits for it."""

    def __init__(self) -> None:
        self._thread, self._coroutine = threading.get_ident(), caller.stepping.coroutine

    def interrupted_by(self, other: "Asker") -> bool:
        """Whether the other procedure blocks the thread of this one, as a signal handler or a finalizer does.

        A blocking call on an event loop does so, too: the coroutines of the loop wait for it.
        """
        return self._thread == other._thread and other._coroutine >= 0

    @property
    def interrupts(self) -> bool:
        """Whether this procedure interrupts its own thread amid such a turn. Coroutines of one thread do not."""
        return self._coroutine >= 0 and _threads_amid_io.get(self._thread, 0) > 0

    def note(self, change: int) -> None:
        """Note that a turn of this thread begins or ends. What interrupts this ends as many turns as it begins."""
        if self._coroutine >= 0:
            count = _threads_amid_io.get(self._thread, 0) + change
            if count:
                _threads_amid_io[self._thread] = count
            else:
                _threads_amid_io.pop(self._thread, None)


_threads_amid_io: dict[int, int] = {}
"""By thread: for how many locks it is amid a commit, or amid giving back."""


class LingeringLock:
    """One lock in one process: what Redis granted it, how long it lingers, and what its sections have lost.

    Args:
        resource: what the lock is to Redis.
        lease: seconds.
        linger: seconds; None: as the measured round trips say, see the method `linger`.
    """

    def __init__(self, resource: Resource, lease: float, linger: float | None) -> None:
        self.turns = Turns()  # of this process's threads: which one is inside, and which one is next
        self._mutex = bookkeeping()  # the same as that of the turns: a process has one
        self.resource, self.lease, self._linger = resource, lease, linger
        self._io: dict[int, Asker] = {}  # {0: who commits or gives back at this moment}: one at a time
        self.hold: Hold | None = None  # what Redis has granted to this process
        self.returning: Hold | None = None  # what this process is giving back to Redis
        self.wants = ""  # the values that sections used under the last hold: to come with the next grant
        self.asked = False  # another process waits for it
        self.linger_until = 0.0
        self.due = float("inf")  # when the heartbeat looks at it
        self.commits = 0  # the number of the last commit
        self.committed_at = 0.0
        # Tasks, and None for no task, whose writes may not be committed yet, each with the first section that wrote.
        self._writers: dict[str | None, float | None] = {}
        self._losses: dict[str | None, InterlockError] = {}  # tasks whose writes were lost, and the errors to tell them
        self._often = 0  # how many sections in a row came within LOOK_IDLE of the one before
        self._left_at = self._came_at = -LOOK_IDLE
        self._seen: float | None = None  # the section that ran last when the heartbeat looked
        self._token_of: float | None = None  # the section that asked for its token last
        self._tokens = 0  # how many sections have asked for theirs
        self._begun = 0.0

    # --- strict at first ---

    def lingers(self, round_trip: float) -> bool:
        """Whether the caller is to enter by the lingering lock. A lock that is used now and then is a strict one.

        Args:
            round_trip: seconds, as measured. Over a slow network, a caller that comes back sooner than this makes the
                lock linger: with a strict lock, it would do nothing but wait.
        """
        self._came_at = monotonic()
        pause = self._came_at - self._left_at
        if self._linger is not None or pause < round_trip > FAR or (self._often >= OFTEN and pause < LOOK_IDLE):
            return True
        return self.hold is not None or self.returning is not None or bool(self._losses)

    def left(self) -> None:
        """Note that a section has ended; its lock was given up, or lingers."""
        soon = self._came_at - self._left_at < LOOK_IDLE
        self._often, self._left_at = self._often + 1 if soon else 0, monotonic()

    # --- the turn to commit or to give back ---

    def take_io(self, me: Asker) -> Steps[bool]:
        """Wait, for a round trip or so, until no other procedure commits or gives back.

        A caller that interrupts its own thread amid such a turn for another lock waits for INTERRUPTING_MAX only: two
        threads that were both interrupted may wait for each other.

        Returns:
            Whether the caller has the turn. If not, the procedure that has it can't go on before the caller returns.
        """
        deadline = Deadline(INTERRUPTING_MAX if me.interrupts else None)
        while (other := self._io.setdefault(0, me)) is not me:
            if other.interrupted_by(me) or deadline.over:
                return False
            yield pause(TURN)
        me.note(+1)
        return True

    @property
    def amid_io(self) -> bool:
        """Whether the procedure that commits or gives back can't go on before the caller returns."""
        other = self._io.get(0)
        return other is not None and other.interrupted_by(Asker())

    def end_io(self, me: Asker) -> None:
        """Give up the turn to commit or to give back, if the caller has it."""
        if self._io.get(0) is me:
            me.note(-1)
            del self._io[0]

    # --- the section ---

    def note_writer(self) -> None:
        """Note the task of the section that is about to write: else nothing would tell the task of a loss."""
        turns = self.turns
        if not turns.bias_holder.noted:
            with self._mutex:
                self._writers.setdefault(turns.bias_holder.task, turns.section)
                turns.bias_holder.noted = True

    def unsent(self) -> dict[Key, Any]:
        """Return what finished sections wrote and Redis has not stored: all that a section wrote, or nothing of it."""
        hold = self.hold
        return {} if hold is None else self.turns.at_rest(hold.local_values.unsent)[0]

    @property
    def token(self) -> int:
        """The token of the section that runs, from the block that came with the grant; used up when it is asked for."""
        assert self.hold is not None
        with self._mutex:
            section = self.turns.section
            if self._token_of is not section is not None:
                self._token_of = section
                self._tokens += 1
        return self.last_token

    @property
    def last_token(self) -> int:
        """The last token of the hold's block that was used."""
        assert self.hold is not None
        return self.hold.token + max(0, self._tokens - 1)

    def to_give_back(self) -> bool:
        """Whether the thread that leaves is to give the lock back.

        It is if the lease is over or the hold is lost, or if another process waits and the linger time is over.
        """
        now, hold = monotonic(), self.hold
        over = now >= self.turns.deadline or hold is None or hold.gone
        return over or (self.asked and now >= self.linger_until)

    # --- what Redis granted ---

    def begin(self, hold: Hold, waiting: int, round_trip: float) -> float:
        """Linger with a lock that Redis has granted.

        Args:
            hold: what Redis has granted.
            waiting: how many others wait for the lock.
            round_trip: seconds, as measured.

        Returns:
            When the heartbeat is to look at the lock first, on time.monotonic().
        """
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
        """Return for how many seconds at least to keep the lock while threads use it."""
        wanted = self._linger
        if wanted is None:
            wanted = min(ADAPTIVE_MAX, max(ADAPTIVE_MIN, ROUND_TRIPS * (round_trip + SWITCH)))
        return min(wanted, self.lease / 4)

    def renewed(self) -> None:
        """Take notice that the hold has a new end, or is lost: no thread enters with less than a third of it to run.

        A grant that was confirmed a moment ago surely has the time of its claim, but the whole lease only after the
        next renewal. So the third is that of the shorter one.
        """
        hold = self.hold
        if hold is not None:
            deadline = 0.0 if hold.gone or hold.discarded else hold.deadline
            good_until = deadline - min(hold.lease, hold.deadline - monotonic()) / 3
            stay_until = min(good_until, self.linger_until) if self.asked else good_until
            self.turns.limit(good_until, stay_until, deadline)

    def doubt(self) -> None:
        """Have the thread that enters or leaves next ask Redis first: this process may hold the lock no longer."""
        self.turns.limit(0.0, 0.0, 0.0)

    def ask(self) -> float:
        """Note that another process waits; return when the heartbeat is to look whether a thread uses the lock."""
        if not self.asked:
            self.asked = True
            self.turns.make_room(self.linger_until)
            self._seen = self.turns.bias_holder.entered
            self.due = min(self.due, monotonic() + LOOK_ASKED)
        return self.due

    def forget(self) -> None:
        """In a child made by fork, forget the hold: it is the parent's."""
        self.turns.reset()
        self._mutex = bookkeeping()
        self.hold, self._io = None, {}
        _threads_amid_io.clear()

    def end(self) -> None:
        """Keep the lock no longer. The hold goes last: a caller that is interrupted before that may do this again."""
        self.doubt()
        self.asked = False
        if self.hold is not None:
            self.hold.last_token = self.last_token
            self.wants = self.hold.local_values.wanted()
            self.hold = None

    def close(self) -> dict[Key, Any]:
        """End the hold and the section that runs, for the process ends; return what finished sections wrote, unsent."""
        hold = self.hold
        assert hold is not None
        unsent = self.turns.end_section(hold.local_values.unsent)
        self.end()
        return unsent

    # --- the heartbeat ---

    def over(self) -> bool:
        """Whether the process is to give the lock back now; not while a thread is inside, unless that has begun."""
        if self.returning is not None:
            return True
        hold = self.hold
        if hold is None or self.turns.thread:
            return False
        late = self.asked and monotonic() >= self.linger_until
        stale = (
            monotonic() - self._begun > hold.local_values.shortest_ttl / 3
        )  # Redis would drop a value that sections here only read, when its ttl is over
        many = self._tokens > tokens(hold.lease) // 2 or len(hold.local_values.written) > WRITTEN_MAX
        return late or stale or many or self._seen is self.turns.bias_holder.entered

    def uncommitted(self) -> bool:
        """Whether it is time to commit what finished sections wrote."""
        hold = self.hold
        return hold is not None and monotonic() >= self.committed_at + COMMIT and bool(self.unsent())

    def plan(self) -> None:
        """Set when the heartbeat is to look again."""
        now = monotonic()
        self._seen = self.turns.bias_holder.entered
        if self.hold is None and self.returning is None:
            self.due = float("inf")
        elif self.asked and now < self.linger_until:
            self.due = min(self.linger_until, now + LOOK)
        else:
            self.due = now + LOOK_IDLE

    # --- losses ---

    def committed(self) -> None:
        """Note that Redis has stored all that was finished before; if nothing is unsent now, forget its writers."""
        with self._mutex:
            self.turns.bias_holder.noted = False  # first: a section that writes from now on notes its task after this
            hold = self.hold or self.returning
            if hold is None:
                self._writers = {}
                return
            unsent, running = self.turns.at_rest(hold.local_values.unsent)
            if not unsent:
                self._writers = dict([running]) if running and hold.local_values.wrote(running[1]) else {}

    def lose(self, error: InterlockError) -> None:
        """Note that what was finished and not committed is discarded: its writers are told when they next ask."""
        with self._mutex:
            turns = self.turns
            turns.bias_holder.noted = False  # first, as in `committed`
            section, task = turns.section, turns.bias_holder.task
            # Whether the task of the section that runs has written in that section alone: it has finished no write yet.
            amid = section is not None and self._writers.get(task) is section
            for writer in self._writers:
                if not (amid and writer == task):
                    self._losses.setdefault(writer, error)
            wrote = self.hold is not None and section is not None and self.hold.local_values.wrote(section)
            self._writers = {task: section} if wrote else {}

    @property
    def unsettled(self) -> bool:
        """Whether a write may be unsent, or be lost and its writer not told. Takes no mutex."""
        return bool(self._writers or self._losses) or self.returning is not None

    @property
    def untold(self) -> list[InterlockError]:
        """The losses that their writers have not been told of."""
        return list(self._losses.values())

    @property
    def loses(self) -> bool:
        """Whether a writer is still to be told of a loss."""
        return bool(self._losses)

    def raise_loss(self) -> None:
        """Raise, once, the error of what the calling task has lost, if it has lost anything."""
        if self._losses:
            error = self.forgive()
            if error is not None:
                raise error

    def forgive(self) -> InterlockError | None:
        """Return the error of what the calling task has lost, if anything; it counts as told from now on."""
        task = caller.current.get()
        with self._mutex:
            return self._losses.pop(task.id if task else None, None)


def tokens(lease: float) -> int:
    """Return how many tokens come with a grant, one for each entry; `grant` in lock.lua computes the same."""
    return int(min(lease, 60.0) * 500_000)


def lingering_with(held: Hold | Wait) -> LingeringLock | None:
    """Return the lock that lingers with a hold, or will linger with the grant of a wait; None: a strict lock."""
    lingering_lock = held.lingering_lock
    assert lingering_lock is None or isinstance(lingering_lock, LingeringLock)
    return lingering_lock
