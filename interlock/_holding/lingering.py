"""What a session does with the locks that linger: it lets threads enter and leave, and commits what sections wrote.

`lingering_lock.py` has the state of one such lock, and says what lingering is.
"""

import logging
import weakref
from collections.abc import Callable
from threading import get_ident
from time import monotonic
from typing import Any, Protocol

from interlock._holding import commit_points
from interlock._holding.holdings import Hold, Holdings, gone_text, lost_text, unanswered_text
from interlock._holding.lingering_lock import Asker, LingeringLock, lingering_with
from interlock._holding.local_values import Key
from interlock._holding.mutex import refused
from interlock._io.deadline import Deadline
from interlock._io.steps import BACKOFF, Steps, patiently
from interlock._io.wire import UNANSWERED
from interlock._protocol import scripts
from interlock._protocol.scripts import Resource
from interlock._text import described
from interlock.errors import GoneError, InterlockError, LeaseLostError, UnreachableError, raise_first

log = logging.getLogger("interlock")


class Acquires(Protocol):
    """How the process gets a lock."""

    def acquire(
        self, resource: Resource, *, lease: float, timeout: float | None, lingering_lock: LingeringLock, wants: str
    ) -> Steps[Hold | None]:
        """Get the lock from Redis, to linger with it; None: the time is over."""


class Releases(Protocol):
    """How the process gives a lock back."""

    def release(self, hold: Hold, *, until: float | None = None) -> Steps[None]:
        """Give the lock up, and store what was written under it."""

    def store(self, hold: Hold, *, until: float | None = None) -> Steps[None]:
        """Store what was written under a lock that is being given up at this moment."""


class Lingering:
    """The locks of one session that linger, by their keys in Redis.

    Args:
        holdings: what the process holds.
        acquiring: gets locks from Redis.
        releasing: gives locks back.
        run: takes the steps of a procedure, blocking the thread.
        wake_by: called under the mutex with the time at which the heartbeat is to look at a lock, at the latest.
    """

    def __init__(
        self,
        holdings: Holdings,
        acquiring: Acquires,
        releasing: Releases,
        run: Callable[[Steps[Any]], Any],
        wake_by: Callable[[float], None],
    ) -> None:
        self._holdings, self._acquiring, self._releasing = holdings, acquiring, releasing
        self._run, self._wake_by = run, wake_by
        self._mutex = holdings.mutex
        self.lingering_locks: weakref.WeakValueDictionary[str, LingeringLock] = (
            weakref.WeakValueDictionary()
        )  # locks and holds keep them
        self._losers: set[LingeringLock] = set()  # those with losses of which a caller has not been told yet

    def all(self) -> list[LingeringLock]:
        """Return the locks that some object or hold keeps; other threads may add more meanwhile."""
        return [lingering_lock for each in self.lingering_locks.valuerefs() if (lingering_lock := each()) is not None]

    def lingering_lock(self, resource: Resource, lease: float, linger: float | None) -> LingeringLock:
        """Return the lingering lock of that resource; the first call makes it, and says how long it lingers."""
        found = self.lingering_locks.get(resource.state)
        if found is None:
            commit_points.watch(self)
            with self._mutex:
                found = self.lingering_locks.setdefault(resource.state, LingeringLock(resource, lease, linger))
        return found

    # --- threads enter and leave ---

    def acquire(self, lingering_lock: LingeringLock, timeout: float | None) -> Steps[bool]:
        """Have the calling thread enter after those of its process that came before; return whether it did in time."""
        me, turns = get_ident(), lingering_lock.turns
        if me in turns.arriving or (turns.thread != me and lingering_lock.amid_io):
            # This call interrupts its own thread amid entering, a commit or a giving back: that can't go on meanwhile.
            if timeout == 0:
                return False
            raise refused(f"{lingering_lock.resource.kind} {lingering_lock.resource.name!r}")
        inside = turns.thread == me  # it acquires again what it has: if that fails, its section goes on
        entered = False
        turns.arriving[me] = True
        try:
            entered = yield from self._enter(lingering_lock, timeout)
            return entered
        finally:
            if not entered and not inside:
                turns.end_turn(me)
            turns.arriving.pop(me, None)

    def _enter(self, lingering_lock: LingeringLock, timeout: float | None) -> Steps[bool]:
        deadline = Deadline(timeout)
        if not (yield from lingering_lock.turns.take_turn(timeout)):
            return False
        lingering_lock.raise_loss()
        if lingering_lock.returning is not None or (
            lingering_lock.hold is not None and monotonic() >= lingering_lock.turns.good_until
        ):
            try:  # the lease may be over, or somebody has broken the lock
                yield from self._give_back(lingering_lock, deadline.at)
            except UnreachableError:
                if not deadline.over:
                    raise
                return False
            lingering_lock.raise_loss()
        if lingering_lock.hold is None:
            yield from self._acquiring.acquire(
                lingering_lock.resource,
                lease=lingering_lock.lease,
                timeout=deadline.timeout,
                lingering_lock=lingering_lock,
                wants=lingering_lock.wants,
            )
        if lingering_lock.hold is None:
            return False
        lingering_lock.hold.count = 1
        lingering_lock.turns.enter()
        return True

    def leave(self, lingering_lock: LingeringLock) -> Steps[None]:
        """Have the thread that is inside leave, and give the lock back if that is due.

        Raises:
            LeaseLostError: the lease is over; what was not committed is discarded.
        """
        inside = lingering_lock.turns.thread  # perhaps not the calling thread
        if lingering_lock.hold is not None:
            lingering_lock.hold.count = 1
        error = None
        try:
            if lingering_lock.to_give_back():
                if lingering_lock.amid_io:  # this call interrupts its own thread: the heartbeat gives the lock back
                    self._look_soon(lingering_lock)
                else:
                    error = yield from self._give_back(lingering_lock)
        finally:
            lingering_lock.turns.end_turn(inside)
        if error is not None:
            lingering_lock.forgive()
            raise error

    def _look_soon(self, lingering_lock: LingeringLock) -> None:
        with self._mutex:
            lingering_lock.due = 0.0
            self._wake_by(0.0)

    def before_detach(self, hold: Hold) -> Steps[None]:
        """Commit what other sections finished, before `detach`: what a wait loses then is the caller's own."""
        lingering_lock = lingering_with(hold)
        if lingering_lock is not None:
            yield from self.commit(lingering_lock)

    def detach(self, hold: Hold) -> None:
        """Make the hold of the caller, who is inside, one of a strict lock: a Condition's wait then releases it."""
        lingering_lock, owner = hold.lingering_lock, hold.owner
        if lingering_lock is None or owner is None:
            return
        with self._mutex:
            lingering_lock.end()
            hold.lingering_lock, hold.owned_by = None, owner
        lingering_lock.turns.end_turn(lingering_lock.turns.thread)

    def _give_back(self, lingering_lock: LingeringLock, until: float | None = None) -> Steps[InterlockError | None]:
        """Keep the lock no longer, and release it as `_return` does. Only a caller that has the turn may call this."""
        with self._mutex:
            hold = lingering_lock.hold
            if lingering_lock.returning is None and hold is not None:
                hold.releaser, hold.due = -1, float("inf")
                lingering_lock.returning = hold  # first: then a commit finds the hold in `returning` or in `hold`
            if hold is not None and hold is lingering_lock.returning:
                lingering_lock.end()
        return (yield from self._return(lingering_lock, until))

    def _return(self, lingering_lock: LingeringLock, until: float | None = None) -> Steps[InterlockError | None]:
        """Release the hold that is being given back, and store what finished sections wrote under it.

        Args:
            lingering_lock: whose `returning` this is about.
            until: how long to ask again if Redis does not answer, on time.monotonic(); None: to the end of the lease.

        Returns:
            What went wrong, or None. A loss is also noted for the tasks that wrote.

        Raises:
            UnreachableError: Redis did not answer, and the lease still runs: the caller is to try again.
        """
        me = Asker()
        try:
            alone = yield from lingering_lock.take_io(me)
            hold = lingering_lock.returning
            if hold is None:
                return None
            if not alone:
                yield from self._releasing.store(hold, until=until)
                return None
            error: InterlockError | None = None
            try:
                yield from self._releasing.release(hold, until=until)
            except UnreachableError as raised:
                if monotonic() < hold.deadline:
                    raise
                self._holdings.forget([hold], lost=True)
                error = raised
            except InterlockError as raised:
                self._holdings.forget([hold], lost=False)
                error = raised
            lingering_lock.returning = None
            if error is None or not hold.local_values.unsent(None):
                lingering_lock.committed()
            else:
                self._lose(lingering_lock, error)
            return error
        finally:
            lingering_lock.end_io(me)

    # --- commits ---

    def commit(self, lingering_lock: LingeringLock, until: float | None = None) -> Steps[None]:
        """Store what finished sections wrote; the process keeps the lock, or is giving it back.

        If that is lost, it is lost as a whole, and is noted for the tasks that wrote it.

        Args:
            lingering_lock: under which they wrote.
            until: as in `_return`.

        Raises:
            UnreachableError: Redis did not answer, and the lease still runs.
        """
        if lingering_lock.returning is not None:
            yield from self._return(lingering_lock, until)
        if not lingering_lock.unsent():
            return
        me = Asker()
        try:
            # With this turn, no other procedure gives the lock back meanwhile. If the caller does not get the turn, it
            # interrupts a commit, or a giving back, of its own thread: then this commit has the larger number, and all
            # writes that the other one has.
            yield from lingering_lock.take_io(me)
            hold = lingering_lock.hold
            unsent = lingering_lock.turns.at_rest(hold.local_values.unsent)[0] if hold is not None else {}
            if hold is not None and unsent:
                yield from self._store(lingering_lock, hold, unsent, hold.deadline if until is None else until)
        finally:
            lingering_lock.end_io(me)

    def _store(self, lingering_lock: LingeringLock, hold: Hold, unsent: dict[Key, Any], until: float) -> Steps[None]:
        lingering_lock.committed_at = monotonic()
        lingering_lock.commits += 1
        number, code = lingering_lock.commits, scripts.LOST
        error: InterlockError | None = None
        try:
            if not hold.gone:
                writes = hold.local_values.encoded(hold.resource.state, unsent)
                code = yield from patiently(
                    lambda: scripts.commit(hold.resource, id=hold.id, token=hold.token, number=number, writes=writes),
                    until,
                )
        except UNANSWERED as raised:
            error = UnreachableError(unanswered_text(hold, raised))
            error.__cause__ = raised
            if monotonic() < hold.deadline:
                raise error from raised
        hold.local_values.stored(unsent)
        if error is None and code == scripts.DONE:
            lingering_lock.committed()
            return
        if error is None:
            lost = hold.gone = code == scripts.LOST
            hold.discarded = not lost
            error = LeaseLostError(lost_text(hold)) if lost else GoneError(gone_text(hold))
        lingering_lock.doubt()
        self._lose(lingering_lock, error)

    def flush(self) -> Steps[None]:
        """Commit what finished sections wrote.

        Raises:
            LeaseLostError, GoneError, UnreachableError: something that the caller wrote is lost; notes name what else.
        """
        yield from self.commit_all()
        raise_first(self.forgive_all())

    def commit_all(self) -> Steps[None]:
        """Commit what finished sections wrote, before another process hears of it; note losses for their writers.

        Raises:
            UnreachableError: Redis did not answer, and the lease still runs.
        """
        for lingering_lock in self._known():
            yield from self.commit(lingering_lock)

    def untold(self) -> list[InterlockError]:
        """Return the losses that their writers have not been told of."""
        return [error for lingering_lock in self._known() for error in lingering_lock.untold]

    def _known(self) -> set[LingeringLock]:
        with self._mutex:
            return {*self.all(), *self._losers}

    @property
    def unsettled(self) -> bool:
        """Whether a write may be unsent, or be lost and its writer not told. Takes no mutex."""
        lingering_locks = [found() for found in self.lingering_locks.valuerefs()]
        return bool(self._losers) or any(
            lingering_lock is not None and lingering_lock.unsettled for lingering_lock in lingering_locks
        )

    def settle(self) -> None:
        """Commit what finished sections wrote, blocking the thread; note losses for their writers.

        Raises:
            UnreachableError: Redis did not answer, and the lease still runs.
        """
        for lingering_lock in self._known():
            self._run(self.commit(lingering_lock))

    def forgive_all(self) -> list[InterlockError]:
        """Return what the calling task has lost, under whichever lock; it counts as told from now on."""
        losses = [lingering_lock.forgive() for lingering_lock in self._known()]
        with self._mutex:
            self._losers = {lingering_lock for lingering_lock in self._losers if lingering_lock.loses}
        return [loss for loss in losses if loss is not None]

    def _lose(self, lingering_lock: LingeringLock, error: InterlockError) -> None:
        lingering_lock.lose(error)
        with self._mutex:
            self._losers.add(lingering_lock)

    # --- the heartbeat looks ---

    def look(self, lingering_lock: LingeringLock) -> None:
        """Give the lock back if no thread uses it or another process waits; commit what has waited long enough."""
        turns = lingering_lock.turns
        turns.end_orphaned()
        try:
            if lingering_lock.over() and turns.take(turns.HEARTBEAT):
                try:
                    if lingering_lock.over():
                        self._run(self._give_back(lingering_lock, 0.0))  # a loss is noted for the tasks that wrote
                finally:
                    turns.end_turn(turns.HEARTBEAT)
            elif lingering_lock.uncommitted():
                self._run(self.commit(lingering_lock, 0.0))
        except Exception as error:  # whatever it is: the heartbeat looks at the other locks all the same
            log.warning("lingering on %r, trying again: %s", lingering_lock.resource.name, described(error))
            lingering_lock.due = monotonic() + BACKOFF
        else:
            with self._mutex:
                lingering_lock.plan()

    def on_asked(self, id: str, *, broken: bool) -> None:
        """Take notice that another process waits for what this id holds, or (`broken`) has ended its lease by hand."""
        with self._mutex:
            hold = self._holdings.holds.get(id)
            lingering_lock = None if hold is None else lingering_with(hold)
            if lingering_lock is not None:
                if broken:
                    lingering_lock.doubt()
                self._wake_by(lingering_lock.ask())
            wait = self._holdings.waits.get(id)
            if wait is not None:  # the waiter has not heard of its grant yet
                wait.asked = True
