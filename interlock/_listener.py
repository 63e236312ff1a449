"""The thread that hears what is published for one session: grants, and wake-ups."""

import logging
import threading
import time
from collections.abc import Callable

import redis

from interlock import _client, _scripts

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
        self._listening = threading.Event()
        threading.Thread(target=self._run, name="interlock-listener", daemon=True).start()

    def wait(self, seconds: float) -> None:
        """Wait so long at most until messages are heard."""
        if not self._listening.is_set():
            self._listening.wait(seconds)

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
                        self._connected()
                        self._listening.set()
                    elif message["type"] == "message":
                        self._hear(_scripts.text(message["data"]))
            except Exception as error:  # whatever it is: waiters depend on this thread, so it tries again
                self._listening.clear()
                log.warning("listening at %s failed, trying again: %s", _client.where(self._client), said(error))
                time.sleep(BACKOFF)
            finally:
                pubsub.close()


def said(error: Exception) -> str:
    """An error for the log: redis-py's have a repr that leaves out what they say."""
    return f"{type(error).__name__}: {error}"
