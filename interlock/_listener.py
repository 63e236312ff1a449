"""The thread that hears what is published for one session: grants, and wake-ups."""

import logging
import threading
import time
from collections.abc import Callable

import redis

from interlock import _client, _scripts
from interlock._steps import Signal

SILENCE = 1.0  # seconds between two looks at whether to end
BACKOFF = 0.2  # seconds until the next try when Redis does not answer

log = logging.getLogger("interlock")


class Listener:
    """Hears one channel, for as long as `ended` is false.

    Args:
        client: of the session; it is not closed.
        channel: the session's own.
        hear: called with each message, by this thread.
        connected: called when messages are heard from now on, and after each reconnection, by this thread.
    """

    def __init__(
        self, client: redis.Redis, channel: str, hear: Callable[[str], None], connected: Callable[[], None]
    ) -> None:
        self.ended = False
        self._client, self._channel, self._hear, self._connected = client, channel, hear, connected
        self._listening = False
        self._resting: list[Signal] = []  # callers until then
        self._mutex = threading.Lock()
        threading.Thread(target=self._run, name="interlock-listener", daemon=True).start()

    def connecting(self) -> Signal | None:
        """None if messages are heard; else what is woken when they are."""
        if self._listening:
            return None
        signal = Signal()
        with self._mutex:
            self._resting.append(signal)
            if self._listening:
                signal.wake()
        return signal

    def _on_subscribed(self) -> None:
        self._connected()
        self._listening = True
        with self._mutex:
            for signal in self._resting:
                signal.wake()
            self._resting.clear()

    def _run(self) -> None:
        while not self.ended:
            pubsub = self._client.pubsub()  # type: ignore[no-untyped-call]
            try:
                pubsub.subscribe(self._channel)
                while not self.ended:
                    message = pubsub.get_message(timeout=SILENCE)
                    if message is None:
                        continue
                    if message["type"] == "subscribe":
                        self._on_subscribed()
                    elif message["type"] == "message":
                        self._hear(_scripts.text(message["data"]))
            except Exception as error:  # whatever it is: waiters depend on this thread, so it tries again
                self._listening = False
                log.warning("listening at %s failed, trying again: %s", _client.where(self._client), said(error))
                time.sleep(BACKOFF)
            finally:
                pubsub.close()


def said(error: Exception) -> str:
    """An error for the log: redis-py's have a repr that leaves out what they say."""
    return f"{type(error).__name__}: {error}"
