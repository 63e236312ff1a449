"""How a session acquires a permit: it asks, waits in the queue, and enters when the grant has come."""

import logging
import time
from collections.abc import Sequence
from functools import partial

import redis

from interlock import caller
from interlock._holding.holdings import Hold, Holdings, Lingers, Wait
from interlock._holding.mutex import check_may_wait
from interlock._io.deadline import Deadline
from interlock._io.steps import BACKOFF, Blocking, Rest, Steps, pause
from interlock._io.wire import UNANSWERED
from interlock._protocol import scripts
from interlock._protocol.scripts import Resource
from interlock._session.heartbeat import REASK, Heartbeat
from interlock._session.inbox import Inbox, confirmation
from interlock._session.releasing import Releasing
from interlock._session.server_watch import ServerWatch
from interlock.errors import InterlockError

MARGIN = 0.05  # seconds that a lease must have to run at least: with less, the caller does not enter but asks again
OPEN_WITHIN = 1.0  # seconds: a waiter with more time left connects ahead for its confirmation, in some round trips
LATE_MAX = 5  # grants that come too late, until acquire raises that the lease is too short

log = logging.getLogger("interlock")


class Acquiring:
    """Acquires permits for one session."""

    def __init__(
        self, holdings: Holdings, heartbeat: Heartbeat, watch: ServerWatch, inbox: Inbox, releasing: Releasing
    ) -> None:
        self._holdings, self._heartbeat, self._watch, self._inbox = holdings, heartbeat, watch, inbox
        self._releasing = releasing
        self.round_trip = 0.0  # seconds, as measured; 0.0: not yet

    def acquire(
        self,
        resource: Resource,
        *,
        lease: float,
        timeout: float | None,
        lingering_lock: Lingers | None = None,
        wants: str = "",
    ) -> Steps[Hold | None]:
        """Get a permit, or None when the time is over.

        Args:
            resource: the lock or semaphore.
            lease: seconds.
            timeout: seconds; None: no limit; 0: one try.
            lingering_lock: the lock that is to linger with the permit; None: a strict lock.
            wants: the values that are to come with the grant: `LocalValues.wanted`.
        """
        if timeout != 0:
            check_may_wait(f"{resource.kind} {resource.name!r}")
        yield from self._watch.checked()
        self._heartbeat.begin()
        self._heartbeat.note(resource.name)
        deadline = Deadline(timeout)
        while (yield from self._watch.calm(lease, deadline)):
            hold = yield from self._acquire(resource, lease, deadline.timeout, lingering_lock, wants)
            if hold is not None and self._watch.doubtful:
                yield Blocking(self._watch.look)
            if hold is None or self._holdings.quiet(lease) <= 0:
                return hold
            if lingering_lock is not None:  # the server that granted it may have forgotten who holds it: release it
                with self._holdings.mutex:
                    lingering_lock.end()
            self._holdings.taken(hold)
            yield from self._releasing.release(hold)
        return None

    def _acquire(
        self, resource: Resource, lease: float, timeout: float | None, lingering_lock: Lingers | None, wants: str
    ) -> Steps[Hold | None]:
        holdings = self._holdings
        deadline = Deadline(timeout)
        if timeout != 0 or lingering_lock is not None:  # a process that lingers hears when another one asks
            yield from self._inbox.listen(timeout)
        mode = resource.mode if lingering_lock is None else f"l{round(lease * 1000)}"
        wait = Wait(
            resource, holdings.new_id(mode), lease, time.monotonic() + REASK, lingering_lock=lingering_lock, wants=wants
        )
        if timeout != 0:
            with holdings.mutex:
                holdings.waits[wait.id] = wait
        try:
            hold = yield from self._try(wait) if timeout == 0 else self.wait(wait, deadline)
        except InterlockError:  # the call was refused: no attempt is left to end
            with holdings.mutex:
                holdings.waits.pop(wait.id, None)
            raise
        except BaseException:
            with holdings.mutex:  # if the caller was interrupted after it entered, it will not release
                entered = holdings.holds.pop(wait.id, None)
                if lingering_lock is not None and entered is not None:
                    lingering_lock.end()
            yield from self.leave(wait)
            raise
        if hold is None and timeout != 0:
            yield from self.leave(wait)
        return hold

    def _ask(self, wait: Wait, *, blocking: bool) -> Steps[tuple[float, scripts.Asked]]:
        sent = time.monotonic()
        asked = yield from scripts.acquire(
            wait.resource,
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
                self._holdings.end_id(wait.id)
                return None
            hold = self._enter(wait, asked.token, sent + (asked.ms - asked.now_ms) / 1000, 0, asked.texts)
            if hold is not None:
                return hold
        yield from self.leave(wait)
        raise too_short(wait)

    def wait(self, wait: Wait, deadline: Deadline, *, patient: bool = False) -> Steps[Hold | None]:
        """Ask, and wait for the grant.

        Args:
            wait: which permit, and for whom.
            deadline: when to give up.
            patient: go on also if Redis does not answer the first question, and let nobody end the wait.

        Returns:
            The permit, or None when the time is over.
        """
        holdings = self._holdings
        outbox, late = self._inbox.outbox, 0
        while late < LATE_MAX:
            asked = None
            try:
                if wait.grant is None:  # else the waiter, one that a Condition notified, has its grant already
                    sent, asked = yield from self._ask(wait, blocking=True)
            except UNANSWERED:
                if wait.arrival is None and not patient:
                    raise
                if wait.arrival is None:
                    yield pause(BACKOFF)
                    continue
                # The waiter is in the queue already: the heartbeat asks again when Redis is back.
            if asked and asked.code == scripts.GRANTED:
                hold = self._enter(wait, asked.token, sent + (asked.ms - asked.now_ms) / 1000, 0, asked.texts)
                if hold is not None:
                    return hold
                late += 1
                continue
            if asked:
                with holdings.mutex:
                    wait.arrival, wait.sample = asked.token, (sent, asked.now_ms)
                    self._heartbeat.plan(wait, asked.ms)
                command = confirmation(wait, 0)
                if deadline.within(2 * OPEN_WITHIN) > OPEN_WITHIN and not outbox.opened(command):
                    yield Blocking(partial(outbox.open, command))
            if not self._heartbeat.ended and not (yield Rest(wait.signal, deadline.left, pausing=patient)):
                with holdings.mutex:
                    if wait.grant is None:
                        return None
                    wait.signal.take()  # the grant came at the last moment
            with holdings.mutex:
                grant, wait.grant, (read_at, now_ms) = wait.grant, None, wait.sample
            if grant is None:
                if wait.id in holdings.waits:  # else `close` leaves the queue
                    yield from self.leave(wait)
                self.check_open(wait)
            assert grant is not None
            # The lease ends with the claim, or if that is sooner, one lease after the confirmation.
            lease_end = min(read_at + (grant.end_ms - now_ms) / 1000, grant.confirmed + wait.lease)
            hold = self._enter(wait, grant.token, lease_end, grant.waiting, grant.texts)
            if hold is not None:
                return hold
        yield from self.leave(wait)
        raise too_short(wait)

    def check_open(self, wait: Wait) -> None:
        """Raise `InterlockError` after `close`: no thread of this session would hear of a grant."""
        if self._heartbeat.ended:
            raise InterlockError(
                f"{wait.resource.kind} {wait.resource.name!r} was not acquired: while this waited, interlock.close() "
                "or the end of the process gave back all that it holds; acquire it again"
            )

    def _enter(self, wait: Wait, token: int, deadline: float, waiting: int, texts: Sequence[str | None]) -> Hold | None:
        """Note the permit as one that this process holds, and return it.

        Return None if its lease may be over already, or soon: then the caller asks again.
        """
        now = time.monotonic()
        if now >= deadline - min(MARGIN, wait.lease / 4):
            return None
        task = caller.current.get()
        label = task.label if task else ""
        due = now + (deadline - now) / 3
        hold = Hold(wait.resource, wait.id, token, wait.lease, deadline, caller.owner(), label, due)
        hold.local_values.receive(wait.wants, texts)
        holdings = self._holdings
        with holdings.mutex:
            holdings.waits.pop(wait.id, None)
            holdings.holds[wait.id] = hold
            holdings.lost.discard((wait.resource.state, wait.resource.mode))
            self._heartbeat.wake_by(due)
            if wait.lingering_lock is not None:
                self._heartbeat.wake_by(wait.lingering_lock.begin(hold, max(waiting, wait.asked), self.round_trip))
        return hold

    def leave(self, wait: Wait) -> Steps[None]:
        """End the attempt without a permit; Redis passes on a grant that has come meanwhile."""
        with self._holdings.mutex:
            self._holdings.waits.pop(wait.id, None)
        try:
            yield from scripts.abandon(wait.resource, id=wait.id, condition=wait.condition)
        except (redis.RedisError, OSError) as error:  # its place lapses: nobody asks or confirms for it
            log.warning("could not leave the queue of %r: %s", wait.resource.name, error)
        else:
            self._holdings.end_id(wait.id)


def too_short(wait: Wait) -> InterlockError:
    """Return the error for a lease that is always over before the caller hears of its grant."""
    return InterlockError(
        f"the lease of {wait.resource.kind} {wait.resource.name!r}, {wait.lease:g} s, is over before its grant "
        "arrives: lease must be longer than three round trips"
    )
