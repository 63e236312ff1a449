"""The thread that reads what Redis publishes for one session: grants, and wake-ups."""

import logging
import time
from collections import deque
from collections.abc import Callable

import redis
from redis.client import PubSub

from interlock._holding.mutex import OnceStarted
from interlock._io.steps import BACKOFF, Signal
from interlock._io.wire import Wire
from interlock._protocol import scripts
from interlock._session import clients
from interlock._text import described

SILENCE = 1.0  # seconds between two looks of the thread at whether to end
SILENT_MAX = 3  # such looks without a message, after which the thread asks the server whether it is there
DEAF_MAX = 5  # such looks without a message, after which the connection counts as dead: a vanished machine is silent

log = logging.getLogger("interlock")


class Listener:
    """Reads one channel, for as long as `ended` is false.

    Args:
        wire: the session's.
        channel: the session's own.
        hear: called by this thread with each message.
        connected: called by this thread when it has subscribed, and again after each reconnection.
    """

    def __init__(self, wire: Wire, channel: str, hear: Callable[[str], None], connected: Callable[[], None]) -> None:
        self.ended = False
        self._wire, self.channel, self._hear, self._connected = wire, channel, hear, connected
        self._listening = False
        self._resting: deque[Signal] = deque()  # of callers that wait until the thread has subscribed
        self._thread = OnceStarted(self._run, "interlock-listener")

    def connecting(self) -> Signal | None:
        """Start the thread if need be; return None if it reads messages, else a signal that it wakes when it does."""
        if self._listening:
            return None
        self._thread.start()
        signal = Signal()
        self._resting.append(signal)
        if self._listening:
            signal.wake()
        return signal

    def _on_subscribed(self) -> None:
        self._connected()
        self._listening = True
        while self._resting:
            self._resting.popleft().wake()

    def _run(self) -> None:
        while not self.ended:
            pubsub = None
            try:
                left = self._wire.left
                pubsub = self._wire.pubsub()
                pubsub.subscribe(self.channel)
                self._listen(pubsub, left)
            except Exception as error:  # whatever it is: waiters depend on this thread, so it tries again
                if self.ended:
                    return
                self._listening = False
                self._wire.cut = True
                log.warning("listening at %s failed, trying again: %s", clients.where(self._wire), described(error))
                time.sleep(BACKOFF)
            finally:
                if pubsub is not None:
                    pubsub.close()

    def _listen(self, pubsub: PubSub, left: int) -> None:
        silent = 0
        while not self.ended:
            if self._wire.left != left:
                raise redis.ConnectionError("the master is a replica by now")
            message = pubsub.get_message(timeout=SILENCE)
            if message is None:
                silent += 1
                if silent >= DEAF_MAX:
                    raise redis.TimeoutError(f"not a word for {DEAF_MAX * SILENCE:g} s")
                if silent == SILENT_MAX:
                    pubsub.ping()
                continue
            silent = 0
            if message["type"] == "subscribe":
                self._on_subscribed()
            elif message["type"] == "message" and not self.ended:  # else the message only makes it look at `ended`
                self._hear(scripts.text(message["data"]))
