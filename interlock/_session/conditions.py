"""How a caller waits for a Condition: it releases the lock, and holds it again when another caller has notified."""

import logging
import time

import redis

from interlock import caller
from interlock._holding.holdings import Hold, Holdings, Wait
from interlock._holding.lingering import Lingering
from interlock._holding.mutex import check_may_wait
from interlock._io.deadline import Deadline
from interlock._io.steps import Rest, Steps, patiently
from interlock._protocol import scripts
from interlock._protocol.scripts import Resource
from interlock._session.acquiring import Acquiring
from interlock._session.heartbeat import REASK, Heartbeat
from interlock._session.inbox import Inbox
from interlock._session.releasing import Releasing, writes
from interlock._text import described

log = logging.getLogger("interlock")


class Conditions:
    """The waits for Conditions of one session's locks."""

    def __init__(
        self, holdings: Holdings, heartbeat: Heartbeat, inbox: Inbox, acquiring: Acquiring, releasing: Releasing,
        lingering: Lingering,
    ) -> None:  # fmt: skip
        self._holdings, self._heartbeat, self._inbox = holdings, heartbeat, inbox
        self._acquiring, self._releasing, self._lingering = acquiring, releasing, lingering

    def wait(self, resource: Resource, owner: caller.Owner, condition: str, timeout: float | None) -> Steps[bool]:
        """Release a lock that the owner holds, wait for a notification, and acquire the lock again.

        Args:
            resource: the lock.
            owner: who holds it.
            condition: the name of the Condition.
            timeout: seconds to wait for a notification; None: no limit.

        Returns:
            Whether there was a notification.

        Raises:
            LeaseLostError: the lease was over; the caller does not wait, and does not hold the lock.
            GoneError: a value that the section wrote exists no longer; otherwise as above.
        """
        check_may_wait(f"the Condition {condition!r}")
        holdings = self._holdings
        deadline = Deadline(timeout)
        yield from self._inbox.listen(timeout)
        held = holdings.mine(resource, owner)
        if held is not None:
            yield from self._lingering.before_detach(held)
            self._lingering.detach(held)
        (hold,) = holdings.take(resource, owner)
        wait = Wait(resource, holdings.new_id(), hold.lease, time.monotonic() + REASK, condition=condition)
        self._heartbeat.note(resource.name, condition)
        with holdings.mutex:
            holdings.waits[wait.id] = wait
        try:
            yield from self._release_and_wait(hold, wait)
        except BaseException:
            yield from self._acquiring.leave(wait)
            raise
        interruption: BaseException | None = None
        notified = True
        try:
            try:
                if self._heartbeat.ended or (yield Rest(wait.signal, deadline.left)):
                    with holdings.mutex:
                        wait.signal.wake()
                        if not self._heartbeat.ended:  # else `close` takes it out of the Condition
                            wait.condition, wait.arrival = "", None
                else:
                    notified = yield from self._leave_condition(wait)
            except BaseException as error:  # as in threading, an interrupted caller has the lock again
                interruption = error
                with holdings.mutex:
                    if wait.grant is not None:  # the exception came after the signal was taken
                        wait.signal.wake()
                notified = yield from self._leave_condition(wait)
            self._acquiring.check_open(wait)
            again = yield from self._acquiring.wait(wait, Deadline(None), patient=True)
        except BaseException:  # interrupted again, or refused: the caller neither holds the lock nor waits
            with holdings.mutex:
                entered = holdings.holds.pop(wait.id, None)
                wait.condition = condition
                closed = self._heartbeat.ended and entered is None and wait.id not in holdings.waits
            if not closed:  # else `close` leaves the queue
                yield from self._acquiring.leave(wait)
            raise
        assert again is not None
        again.count = hold.count
        if interruption is not None:
            if notified:
                yield from self._pass_on(again, condition)
            raise interruption
        return notified

    def _pass_on(self, hold: Hold, condition: str) -> Steps[None]:
        """Notify another waiter in place of one that was interrupted and holds the lock again, as asyncio does."""
        call = self._holdings.new_id()
        try:
            yield from scripts.condition_notify(
                hold.resource, id=hold.id, token=hold.token, call=call, condition=condition, n=1
            )
        except (redis.RedisError, OSError) as error:
            log.warning("a notification of the Condition %r is lost: %s", condition, described(error))
        else:
            self._holdings.end_id(call)

    def _release_and_wait(self, hold: Hold, wait: Wait) -> Steps[None]:
        code, arrival, now_ms = scripts.LOST, 0, 0
        sent = time.monotonic()
        stored = writes(hold)

        def asked() -> Steps[tuple[int, int, int]]:
            nonlocal sent
            sent = time.monotonic()
            return scripts.condition_wait(
                hold.resource,
                id=hold.id,
                token=hold.token,
                last_token=hold.last_token,
                writes=stored,
                again=wait.id,
                condition=wait.condition,
            )

        if not hold.gone:
            code, arrival, now_ms = yield from self._releasing.asked(hold, asked, hold.deadline)
        self._releasing.ended(hold, code)
        with self._holdings.mutex:
            wait.arrival, wait.sample = arrival, (sent, now_ms)
            self._heartbeat.wake_by(wait.due)

    def _leave_condition(self, wait: Wait) -> Steps[bool]:
        """Move a waiter from the Condition to the lock's queue, notified or not; return whether it was notified."""
        notified, arrival = yield from patiently(
            lambda: scripts.condition_leave(wait.resource, id=wait.id, condition=wait.condition), float("inf")
        )
        with self._holdings.mutex:
            wait.condition = ""
            wait.arrival = arrival if arrival is not None else wait.arrival
        return notified
