"""How a session gives locks back, and stores what sections wrote under them."""

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

from interlock._holding.holdings import Hold, Holdings, gone_text, lost_text, unanswered_text
from interlock._holding.local_values import Key
from interlock._io.steps import Steps, patiently
from interlock._io.wire import UNANSWERED
from interlock._protocol import scripts
from interlock._protocol.scripts import Writes
from interlock._session.heartbeat import Heartbeat, beat
from interlock.errors import GoneError, LeaseLostError, UnreachableError

Answer = TypeVar("Answer")


class Releasing:
    """Releases what this process holds."""

    def __init__(self, holdings: Holdings, heartbeat: Heartbeat) -> None:
        self._holdings, self._heartbeat = holdings, heartbeat

    def hold_again(self, holds: Iterable[Hold]) -> None:
        """Hold these as before, for nothing came of their release: the heartbeat renews them again."""
        with self._holdings.mutex:
            for hold in holds:
                hold.releaser = None
                hold.due = 0.0
            self._heartbeat.wake_by(0.0)

    def release(
        self, hold: Hold, unsent: Mapping[Key, Any] | None = None, *, until: float | None = None
    ) -> Steps[None]:
        """Give up a lock, and store what sections wrote under it.

        Args:
            hold: from `Holdings.take`.
            unsent: what to store; None: all that Redis has not stored yet.
            until: how long to ask again if Redis does not answer, on time.monotonic(); None: to the end of the lease.

        Raises:
            LeaseLostError: the lease is over; what was written is discarded.
            GoneError: a value that was written exists no longer; Redis stored nothing.
            UnreachableError: Redis did not answer until then.
        """
        code = scripts.LOST
        stored = writes(hold, unsent)
        if not hold.gone:
            code = yield from self.asked(hold, release_script(hold, stored), hold.deadline if until is None else until)
        self.ended(hold, code)

    def asked(self, hold: Hold, ask: Callable[[], Steps[Answer]], until: float) -> Steps[Answer]:
        """Ask until then for a script that releases a hold, and return the answer.

        Raises:
            UnreachableError: Redis did not answer until then. The release may be sent again.
        """
        try:
            return (yield from patiently(ask, until, hold.note_refusal))
        except UNANSWERED as error:
            hold.unanswered = True
            raise UnreachableError(unanswered_text(hold, error)) from error
        except BaseException:
            hold.unanswered = True
            raise

    def store(self, hold: Hold, *, until: float | None = None) -> Steps[None]:
        """Store what was written under a hold that the caller's own thread, which the caller interrupts, is releasing.

        The request is that of `release`, and Redis may get it twice. The interrupted `release` does the rest.

        Raises:
            LeaseLostError, GoneError: what was written is discarded.
        """
        ask = release_script(hold, writes(hold))
        raise_lost(hold, (yield from patiently(ask, hold.deadline if until is None else until)))

    def ended(self, hold: Hold, code: int) -> None:
        """Drop a hold whose release the server answered with this code; raise the error, if it is one.

        Raises:
            LeaseLostError, GoneError: as `release`.
        """
        self._holdings.forget([hold], lost=code == scripts.LOST)
        raise_lost(hold, code)

    def surely_lost(self, hold: Hold) -> Steps[bool]:
        """Whether the lease is over. If only this process's clock says so, ask Redis: a late beat is no lost lease."""
        if hold.lost and not hold.gone:
            sent = time.monotonic()
            heard = yield from scripts.beat(beat(hold.resource, [hold], []))
            self._heartbeat.hear(sent, [hold], [], heard)
        return hold.lost


def writes(hold: Hold, unsent: Mapping[Key, Any] | None = None) -> Writes:
    """Return what Redis is to store at the end of a hold; `unsent` as in `Releasing.release`."""
    return hold.local_values.encoded(hold.resource.state, hold.local_values.unsent(None) if unsent is None else unsent)


def release_script(hold: Hold, stored: Writes) -> Callable[[], Steps[int]]:
    """Return the script that releases a hold and stores these writes, to be called as often as it is sent."""
    return partial(
        scripts.release, hold.resource, id=hold.id, token=hold.token, last_token=hold.last_token, writes=stored
    )


def raise_lost(hold: Hold, code: int) -> None:
    """Raise `LeaseLostError` or `GoneError` if a release was answered with such a code."""
    if code == scripts.LOST:
        raise LeaseLostError(lost_text(hold))
    if code == scripts.GONE:
        raise GoneError(gone_text(hold))
