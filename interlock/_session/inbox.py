"""The inbox of one session: Redis publishes grants, which the session confirms at once, and wake-ups."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from interlock._holding.holdings import Grant, Holdings, Wait
from interlock._io.steps import Rest, Steps
from interlock._io.wire import Outbox, Wire
from interlock._protocol import scripts
from interlock._session.heartbeat import Heartbeat
from interlock._session.listener import Listener
from interlock._text import described

LISTEN_WITHIN = 5.0  # seconds that a caller waits for the first subscription
WAKE_WORD, ASKED_WORD, BROKEN_WORD = "0", "-1", "-2"  # messages in place of a token: see `tell` in attempt.lua

log = logging.getLogger("interlock")


class Inbox:
    """Reads what Redis publishes for one session.

    Args:
        wire: to the server.
        holdings: the waiters that messages wake.
        heartbeat: asks again for all waiters after a reconnection.
        prefix: what the channel's name begins with.
        on_asked: called with the id of a hold whose lock another process waits for, or somebody has broken.
    """

    def __init__(
        self, wire: Wire, holdings: Holdings, heartbeat: Heartbeat, prefix: str, on_asked: Callable[..., None]
    ) -> None:
        self._wire, self._holdings, self._heartbeat, self._prefix = wire, holdings, heartbeat, prefix
        self._on_asked = on_asked
        self._listener: Listener | None = None
        self.outbox = Outbox(wire)

    def move(self, wire: Wire) -> None:
        """Use another wire from here on. The listener has not started yet."""
        self._wire, self.outbox = wire, Outbox(wire)

    def listen(self, within: float | None) -> Steps[None]:
        """Have the listener read messages; wait until it does, but not for longer than this.

        If that takes longer, go on: the next sign of life brings what the listener missed.

        Args:
            within: seconds, LISTEN_WITHIN at most; None: LISTEN_WITHIN.
        """
        if self._listener is None:
            channel = f"{self._prefix}interlock:session:{self._holdings.session}"
            made = Listener(self._wire, channel, self._on_message, self._on_connection)
            with self._holdings.mutex:
                self._listener = self._listener or made
        signal = self._listener.connecting()
        if signal is not None:
            yield Rest(signal, LISTEN_WITHIN if within is None else min(within, LISTEN_WITHIN))

    def _on_connection(self) -> None:
        """Ask again for all waiters, also after a reconnection: what Redis published meanwhile is lost."""
        scripts.load_confirm(self._wire)
        self._heartbeat.ask_now()
        with self._holdings.mutex:
            for signal in list(self._holdings.sleepers.values()):
                signal.wake()

    def _on_message(self, message: str) -> None:
        token, end, waiting, rest = message.split(" ", 3)
        id, _, values = rest.partition("\n")
        if token in (ASKED_WORD, BROKEN_WORD):
            self._on_asked(id, broken=token == BROKEN_WORD)
            return
        if token != WAKE_WORD:
            self.on_grant(id, Grant(int(token), int(end), int(waiting), scripts.shipped(values)))
            return
        with self._holdings.mutex:
            signal = self._holdings.sleepers.get(id)
            if signal is not None:
                signal.wake()

    def on_grant(self, id: str, grant: Grant) -> None:
        """Confirm a grant, and wake the waiter that it is for."""
        holdings = self._holdings
        with holdings.mutex:
            wait = holdings.waits.get(id)
            if wait is None:
                return  # it has entered by another answer, or has left: then its abandon passes the grant on
        if self.outbox.forgotten:
            self.outbox.forgotten = False
            scripts.load_confirm(self._wire)
        # Confirm at once, before the section, and await no reply: later, a C call of the section may keep the GIL.
        confirmed = time.monotonic()
        self.outbox.send(confirmation(wait, grant.token))
        with holdings.mutex:
            first = wait.grant is None
            if wait.grant is None or wait.grant.token != grant.token:  # else the first confirmation counts
                wait.grant = replace(grant, confirmed=confirmed)
            if first and wait.id in holdings.waits:
                wait.signal.wake()

    def end(self) -> None:
        """Have the listener end when it next looks."""
        if self._listener is not None:
            self._listener.ended = True

    def close(self) -> None:
        """Close the connections of the outbox, and wake the listener, so that it ends now."""
        try:
            if self._listener is not None:
                self._wire.call("PUBLISH", self._listener.channel, "")  # so that the listener looks now
        except Exception as error:  # no caller is left to tell
            log.info("the listener ends a moment later: %s", described(error))
        finally:
            self.outbox.close()


def confirmation(wait: Wait, token: int) -> tuple[str | int, ...]:
    """Return the command that confirms a grant."""
    return scripts.confirm_command(wait.resource, id=wait.id, token=token, lease_ms=wait.lease_ms)
