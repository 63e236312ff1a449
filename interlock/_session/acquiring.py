"""Getting permits: ask, wait in the queue, enter when the grant has come."""

import logging
import time
from collections.abc import Sequence
from functools import partial

import redis

from interlock import caller
from interlock._holding.holdings import Hold, Lingers, Standing, Wait
from interlock._holding.mutex import check_may_wait
from interlock._io.steps import BACKOFF, Blocking, Rest, Steps, pause
from interlock._io.wire import UNANSWERED
from interlock._protocol import scripts
from interlock._protocol.scripts import Identity
from interlock._session.heartbeat import REASK, Heartbeat
from interlock._session.inbox import Inbox, confirmation
from interlock._session.releasing import Releasing
from interlock._session.server_watch import ServerWatch
from interlock.errors import InterlockError

MARGIN = 0.05  # seconds that a lease must have to run at least, for the caller to enter without asking again
OPEN_WITHIN = 1.0  # seconds that a waiter must have left to open the connection for its confirmation: some round trips
LATE_MAX = 5  # grants that came too late, until the lease is called too short

log = logging.getLogger("interlock")


class Acquiring:
    """Acquires permits for one session."""

    def __init__(
        self, standing: Standing, heartbeat: Heartbeat, watch: ServerWatch, inbox: Inbox, releasing: Releasing
    ) -> None:
        self._standing, self._heartbeat, self._watch, self._inbox = standing, heartbeat, watch, inbox
        self._releasing = releasing
        self.round_trip = 0.0  # seconds, as measured

    def acquire(
        self,
        of: Identity,
        *,
        lease: float,
        timeout: float | None,
        station: Lingers | None = None,
        wants: str = "",
    ) -> Steps[Hold | None]:
        """Get a permit, or None when the time is over.

        Args:
            of: of what.
            lease: seconds.
            timeout: seconds; None: no limit; 0: one try.
            station: that is to linger with it.
            wants: the values that are to come with the grant: `Copies.wanted`.
        """
        if timeout != 0:
            check_may_wait(f"{of.kind} {of.name!r}")
        yield from self._watch.checked()
        self._heartbeat.begin()
        until = None if timeout is None else time.monotonic() + timeout
        while (yield from self._watch.calm(lease, until)):
            left = None if until is None else 0 if timeout == 0 else max(0.001, until - time.monotonic())
            hold = yield from self._acquire(of, lease, left, station, wants)
            if hold is not None and self._watch.doubtful:
                yield Blocking(self._watch.look)
            if hold is None or self._standing.quiet(lease) <= 0:
                return hold
            if station is not None:  # it was granted by a server that may have forgotten who holds it
                with self._standing.mutex:
                    station.end()
            self._standing.taken(hold)
            yield from self._releasing.release(hold)
        return None

    def _acquire(
        self, of: Identity, lease: float, timeout: float | None, station: Lingers | None, wants: str
    ) -> Steps[Hold | None]:
        standing = self._standing
        until = None if timeout is None else time.monotonic() + timeout
        if timeout != 0 or station is not None:  # who lingers hears that it is asked
            yield from self._inbox.listen(timeout)
        mode = of.mode if station is None else f"l{round(lease * 1000)}"
        wait = Wait(of, standing.new_id(mode), lease, time.monotonic() + REASK, station=station, wants=wants)
        if timeout != 0:
            with standing.mutex:
                standing.waits[wait.id] = wait
        try:
            hold = yield from self._try(wait) if timeout == 0 else self.wait(wait, until)
        except InterlockError:  # refused: there is no attempt to end
            with standing.mutex:
                standing.waits.pop(wait.id, None)
            raise
        except BaseException:
            with standing.mutex:  # interrupted after it was entered: nobody will release it
                entered = standing.holds.pop(wait.id, None)
                if station is not None and entered is not None:
                    station.end()
            yield from self.leave(wait)
            raise
        if hold is None and timeout != 0:
            yield from self.leave(wait)
        return hold

    def _ask(self, wait: Wait, *, blocking: bool) -> Steps[tuple[float, scripts.Asked]]:
        sent = time.monotonic()
        asked = yield from scripts.acquire(
            wait.of,
            id=wait.id,
            lease_ms=wait.lease_ms,
            wait=blocking,
            arrival=wait.arrival,
            wants=wait.wants,
        )
        took = time.monotonic() - sent
        self.round_trip = took if not self.round_trip else min(took, 0.8 * self.round_trip + 0.2 * took)
        return sent, asked

    def _try(self, wait: Wait) -> Steps[Hold | None]:
        for _ in range(LATE_MAX):
            sent, asked = yield from self._ask(wait, blocking=False)
            if asked.code != scripts.GRANTED:
                self._standing.end_id(wait.id)
                return None
            hold = self._enter(wait, asked.token, sent + (asked.ms - asked.now_ms) / 1000, 0, asked.texts)
            if hold is not None:
                return hold
        yield from self.leave(wait)
        raise too_short(wait)

    def wait(self, wait: Wait, until: float | None, *, patient: bool = False) -> Steps[Hold | None]:
        """Ask, and wait for the grant. `patient`: also if Redis does not answer the first question; nobody ends it."""
        standing = self._standing
        outbox, late = self._inbox.outbox, 0
        while late < LATE_MAX:
            asked = None
            try:
                if wait.grant is None:  # else a notified waiter of a Condition has it already
                    sent, asked = yield from self._ask(wait, blocking=True)
            except UNANSWERED:
                if wait.arrival is None and not patient:
                    raise
                if wait.arrival is None:
                    yield pause(BACKOFF)
                    continue
                # it is in the queue already: the heartbeat asks again when Redis is back
            if asked and asked.code == scripts.GRANTED:
                hold = self._enter(wait, asked.token, sent + (asked.ms - asked.now_ms) / 1000, 0, asked.texts)
                if hold is not None:
                    return hold
                late += 1
                continue
            if asked:
                with standing.mutex:
                    wait.arrival, wait.sample = asked.token, (sent, asked.now_ms)
                    self._heartbeat.plan(wait, asked.ms)
                command = confirmation(wait, 0)
                at_leisure = until is None or until - time.monotonic() > OPEN_WITHIN
                if at_leisure and not outbox.opened(command):
                    yield Blocking(partial(outbox.open, command))
            left = None if until is None else until - time.monotonic()
            if not self._heartbeat.ended and not (yield Rest(wait.signal, left, pausing=patient)):
                with standing.mutex:
                    if wait.grant is None:
                        return None
                    wait.signal.take()  # the grant came in the last moment
            with standing.mutex:
                grant, wait.grant = wait.grant, None
            if grant is None:
                yield from self.leave(wait)
                self.check_open(wait)
            assert grant is not None
            with standing.mutex:
                # the claim's end, or the end of the lease that the confirmation made of it, if that is sooner
                end = wait.sample[0] + (grant.end_ms - wait.sample[1]) / 1000
            deadline = min(end, grant.confirmed + wait.lease)
            hold = self._enter(wait, grant.token, deadline, grant.waiting, grant.texts)
            if hold is not None:
                return hold
        yield from self.leave(wait)
        raise too_short(wait)

    def check_open(self, wait: Wait) -> None:
        """Refuse to wait on after `close`: nothing would hear of a grant."""
        if self._heartbeat.ended:
            raise InterlockError(
                f"{wait.of.kind} {wait.of.name!r} was not acquired: while this waited, interlock.close() or the end "
                "of the process gave back all that it holds; acquire it again"
            )

    def _enter(self, wait: Wait, token: int, deadline: float, waiting: int, texts: Sequence[str | None]) -> Hold | None:
        """The permit as this process has it from now on; None if its lease may be over already: then ask again."""
        now = time.monotonic()
        if now >= deadline - min(MARGIN, wait.lease / 4):
            return None
        task = caller.current.get()
        label = task.label if task else ""
        due = now + (deadline - now) / 3
        hold = Hold(wait.of, wait.id, token, wait.lease, deadline, caller.owner(), label, due)
        hold.copies.receive(wait.wants, texts)
        standing = self._standing
        with standing.mutex:
            standing.waits.pop(wait.id, None)
            standing.holds[wait.id] = hold
            standing.lost.discard((wait.of.state, wait.of.mode))
            self._heartbeat.wake_by(due)
            if wait.station is not None:
                self._heartbeat.wake_by(wait.station.begin(hold, max(waiting, wait.asked), self.round_trip))
        return hold

    def leave(self, wait: Wait) -> Steps[None]:
        """The attempt ends without a permit; a grant that has come meanwhile is passed on."""
        with self._standing.mutex:
            self._standing.waits.pop(wait.id, None)
        try:
            yield from scripts.abandon(wait.of, id=wait.id, condition=wait.condition)
        except (redis.RedisError, OSError) as error:  # its place lapses: nobody re-asks, or confirms a grant for it
            log.warning("could not leave the queue of %r: %s", wait.of.name, error)
        else:
            self._standing.end_id(wait.id)


def too_short(wait: Wait) -> InterlockError:
    """A lease that is always over before the caller hears of it."""
    return InterlockError(
        f"the lease of {wait.of.kind} {wait.of.name!r}, {wait.lease:g} s, is over before its grant arrives: "
        "lease must be longer than three round trips"
    )
