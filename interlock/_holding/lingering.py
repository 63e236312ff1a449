"""What a session does with the locks that linger: threads enter and leave, finished sections are committed.

`_holding/lingering_lock.py` has the state of one such lock, and says what lingering is.
"""

import logging
import weakref
from collections.abc import Callable
from threading import get_ident
from time import monotonic
from typing import Any, Protocol

from interlock._holding import commit_points
from interlock._holding.holdings import Hold, Standing, gone_text, lost_text, unanswered_text
from interlock._holding.lingering_lock import Asker, Station, lingering_with
from interlock._holding.local_values import Key
from interlock._holding.mutex import refused
from interlock._io.steps import BACKOFF, Steps, patiently
from interlock._io.wire import UNANSWERED
from interlock._protocol import scripts
from interlock._protocol.scripts import Identity
from interlock._text import described
from interlock.errors import GoneError, InterlockError, LeaseLostError, UnreachableError

log = logging.getLogger("interlock")


class Acquires(Protocol):
    """How the process gets a lock."""

    def acquire(
        self, of: Identity, *, lease: float, timeout: float | None, station: Station, wants: str
    ) -> Steps[Hold | None]:
        """Get the lock from Redis, to linger with it."""


class Releases(Protocol):
    """How the process gives a lock back."""

    def release(self, hold: Hold, *, until: float | None = None) -> Steps[None]:
        """Give it up, with what was written under it."""

    def store(self, hold: Hold, *, until: float | None = None) -> Steps[None]:
        """Have what was written under a lock stored that is being given up at this moment."""


class Lingering:
    """The stations of one session, by the lock's key in Redis.

    Args:
        standing: what the process holds.
        acquiring: gets locks.
        releasing: gives them back.
        run: takes steps, blocking the thread.
        wake_by: called under the standing's mutex: the heartbeat is to look at a station at that time.
    """

    def __init__(
        self,
        standing: Standing,
        acquiring: Acquires,
        releasing: Releases,
        run: Callable[[Steps[Any]], Any],
        wake_by: Callable[[float], None],
    ) -> None:
        self._standing, self._acquiring, self._releasing = standing, acquiring, releasing
        self._run, self._wake_by = run, wake_by
        self._mutex = standing.mutex
        self.stations: weakref.WeakValueDictionary[str, Station] = (
            weakref.WeakValueDictionary()
        )  # kept by locks and holds
        self._losers: set[Station] = set()  # of which a caller has not been told yet what it lost

    def all(self) -> list[Station]:
        """Those that somebody has; other threads may come with more meanwhile."""
        return [station for each in self.stations.valuerefs() if (station := each()) is not None]

    def station(self, of: Identity, lease: float, linger: float | None) -> Station:
        """The one of that lock; the first to ask says how long it lingers."""
        found = self.stations.get(of.state)
        if found is None:
            commit_points.watch(self)
            with self._mutex:
                found = self.stations.setdefault(of.state, Station(of, lease, linger))
        return found

    # --- threads enter and leave ---

    def acquire(self, station: Station, timeout: float | None) -> Steps[bool]:
        """Have the calling thread enter, after those of its process that came before; whether it did in time."""
        me = get_ident()
        if me in station.arriving or (station.thread != me and station.amid_io):
            # It interrupts its own thread amid entering, or amid what gives the lock back: that can't go on meanwhile.
            if timeout == 0:
                return False
            raise refused(f"{station.of.kind} {station.of.name!r}")
        inside = station.thread == me  # and asks again, as for a Lock: if that fails, its section goes on
        entered = False
        station.arriving[me] = True
        try:
            entered = yield from self._enter(station, timeout)
            return entered
        finally:
            if not entered and not inside:
                station.end_turn(me)
            station.arriving.pop(me, None)

    def _enter(self, station: Station, timeout: float | None) -> Steps[bool]:
        until = None if timeout is None else monotonic() + timeout
        if not (yield from station.take_turn(timeout)):
            return False
        station.raise_loss()
        if station.returning is not None or (station.hold is not None and monotonic() >= station.good_until):
            try:  # its lease may be over, or somebody has broken it
                yield from self._give_back(station, until)
            except UnreachableError:
                if until is None or monotonic() < until:
                    raise
                return False
            station.raise_loss()
        if station.hold is None:
            left = timeout if until is None or timeout == 0 else max(0.001, until - monotonic())
            yield from self._acquiring.acquire(
                station.of, lease=station.lease, timeout=left, station=station, wants=station.wants
            )
        if station.hold is None:
            return False
        station.hold.count = 1
        station.enter()
        return True

    def leave(self, station: Station) -> Steps[None]:
        """The thread that is inside leaves, and gives the lock back if that is due.

        Raises:
            LeaseLostError: the lease is over; what was not committed is discarded.
        """
        inside = station.thread  # perhaps another thread
        if station.hold is not None:
            station.hold.count = 1
        error = None
        try:
            if station.to_give_back():
                if station.amid_io:  # of the thread that this interrupts: the heartbeat gives it back
                    self._look_soon(station)
                else:
                    error = yield from self._give_back(station)
        finally:
            station.end_turn(inside)
        if error is not None:
            station.forgive()
            raise error

    def _look_soon(self, station: Station) -> None:
        with self._mutex:
            station.due = 0.0
            self._wake_by(0.0)

    def before_detach(self, hold: Hold) -> Steps[None]:
        """What other sections finished is committed first: what is lost with the wait then is the caller's own."""
        station = lingering_with(hold)
        if station is not None:
            yield from self.commit(station)

    def detach(self, hold: Hold) -> None:
        """The caller is inside, and its hold is to be released as a strict lock's is: a Condition's wait does that."""
        station, owner = hold.station, hold.owner
        if station is None or owner is None:
            return
        with self._mutex:
            station.end()
            hold.station, hold.owned_by = None, owner
        station.end_turn(station.thread)

    def _give_back(self, station: Station, until: float | None = None) -> Steps[InterlockError | None]:
        """Keep the lock no longer. Only by who has the turn. As `_return`."""
        with self._mutex:
            hold = station.hold
            if station.returning is None and hold is not None:
                hold.releaser, hold.due = -1, float("inf")
                station.returning = hold  # before it is the station's no longer: a commit finds it here or there
            if hold is not None and hold is station.returning:
                station.end()
        return (yield from self._return(station, until))

    def _return(self, station: Station, until: float | None = None) -> Steps[InterlockError | None]:
        """Release what is being given back, with all that is finished; what went wrong, which is noted for who wrote.

        Args:
            station: with `returning`.
            until: how long to ask again if Redis does not answer, on time.monotonic(); None: to the end of the lease.

        Raises:
            UnreachableError: Redis did not answer, and the lease still runs: to be tried again.
        """
        me = Asker()
        try:
            alone = yield from station.take_io(me)
            hold = station.returning
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
                self._standing.forget([hold], lost=True)
                error = raised
            except InterlockError as raised:
                self._standing.forget([hold], lost=False)
                error = raised
            station.returning = None
            if error is None or not hold.copies.unsent(None):
                station.committed()
            else:
                self._lose(station, error)
            return error
        finally:
            station.end_io(me)

    # --- commits ---

    def commit(self, station: Station, until: float | None = None) -> Steps[None]:
        """Store what finished sections wrote; the lock is kept, or is being given back. What is lost is noted, whole.

        Args:
            station: whose.
            until: as in `_return`.

        Raises:
            UnreachableError: Redis did not answer, and the lease still runs.
        """
        if station.returning is not None:
            yield from self._return(station, until)
        if not station.unsent():
            return
        me = Asker()
        try:
            # With it, nothing is given back meanwhile. Or it interrupts what commits, or gives back, in its own thread:
            # then this commit has the larger number, and all that the other has.
            yield from station.take_io(me)
            hold = station.hold
            unsent = station.at_rest(hold.copies.unsent)[0] if hold is not None else {}
            if hold is not None and unsent:
                yield from self._store(station, hold, unsent, hold.deadline if until is None else until)
        finally:
            station.end_io(me)

    def _store(self, station: Station, hold: Hold, unsent: dict[Key, Any], until: float) -> Steps[None]:
        station.committed_at = monotonic()
        station.commits += 1
        number, code = station.commits, scripts.LOST
        error: InterlockError | None = None
        try:
            if not hold.gone:
                writes = hold.copies.encoded(hold.of.state, unsent)
                code = yield from patiently(
                    lambda: scripts.commit(hold.of, id=hold.id, token=hold.token, number=number, writes=writes), until
                )
        except UNANSWERED as raised:
            error = UnreachableError(unanswered_text(hold, raised))
            error.__cause__ = raised
            if monotonic() < hold.deadline:
                raise error from raised
        hold.copies.stored(unsent)
        if error is None and code == scripts.DONE:
            station.committed()
            return
        if error is None:
            lost = hold.gone = code == scripts.LOST
            error = LeaseLostError(lost_text(hold)) if lost else GoneError(gone_text(hold))
        station.doubt()
        self._lose(station, error)

    def flush(self) -> Steps[None]:
        """Commit all that is finished.

        Raises:
            LeaseLostError, GoneError, UnreachableError: something that the caller wrote is lost.
        """
        yield from self.commit_all()
        for station in self._known():
            station.raise_loss()
        with self._mutex:
            self._losers = {station for station in self._losers if station.loses}

    def commit_all(self) -> Steps[None]:
        """Commit all that is finished, before another process hears of it; what is lost stays noted, for who wrote it.

        Raises:
            UnreachableError: Redis did not answer, and the lease still runs.
        """
        for station in self._known():
            yield from self.commit(station)

    def untold(self) -> list[InterlockError]:
        """What was lost, and nobody has been told."""
        return [error for station in self._known() for error in station.untold]

    def _known(self) -> set[Station]:
        with self._mutex:
            return {*self.all(), *self._losers}

    @property
    def unsettled(self) -> bool:
        """Whether anything may be unsent, or lost and not told. Takes no mutex."""
        stations = [found() for found in self.stations.valuerefs()]
        return bool(self._losers) or any(station is not None and station.unsettled for station in stations)

    def settle(self) -> None:
        """Commit all that is finished; what is lost is noted, for who wrote it.

        Raises:
            UnreachableError: Redis did not answer, and the lease still runs.
        """
        for station in self._known():
            self._run(self.commit(station))

    def forgive_all(self) -> list[InterlockError]:
        """What the calling task has lost, of whichever lock: it is told now."""
        losses = [station.forgive() for station in self._known()]
        with self._mutex:
            self._losers = {station for station in self._losers if station.loses}
        return [loss for loss in losses if loss is not None]

    def _lose(self, station: Station, error: InterlockError) -> None:
        station.lose(error)
        with self._mutex:
            self._losers.add(station)

    # --- the heartbeat looks ---

    def look(self, station: Station) -> None:
        """Give back what nobody uses, or another waits for; commit what has waited long enough."""
        station.end_orphaned()
        try:
            if station.over() and station.take(station.HEARTBEAT):
                try:
                    if station.over():
                        self._run(self._give_back(station, 0.0))  # what goes wrong is noted, for who wrote
                finally:
                    station.end_turn(station.HEARTBEAT)
            elif station.uncommitted():
                self._run(self.commit(station, 0.0))
        except Exception as error:  # whatever it is: other stations are looked at all the same
            log.warning("lingering on %r, trying again: %s", station.of.name, described(error))
            station.due = monotonic() + BACKOFF
        else:
            with self._mutex:
                station.plan()

    def on_asked(self, id: str, *, broken: bool) -> None:
        """Another process waits for what this id holds, or has ended its lease by hand."""
        with self._mutex:
            hold = self._standing.holds.get(id)
            station = None if hold is None else lingering_with(hold)
            if station is not None:
                if broken:
                    station.doubt()
                self._wake_by(station.ask())
            wait = self._standing.waits.get(id)
            if wait is not None:  # it has not heard of its grant yet
                wait.asked = True
