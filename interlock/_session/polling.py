"""How a caller waits until a script answers: for an event, an item, or a barrier that opens."""

import logging
from collections.abc import Callable
from typing import TypeVar

import redis

from interlock._holding.holdings import Holdings
from interlock._holding.mutex import check_may_wait
from interlock._io.deadline import Deadline
from interlock._io.steps import BACKOFF, Rest, Signal, Steps
from interlock._io.wire import UNANSWERED
from interlock._session.heartbeat import REASK, Heartbeat
from interlock._session.inbox import Inbox
from interlock._session.server_watch import ServerWatch
from interlock._text import described
from interlock.errors import InterlockError

Answer = TypeVar("Answer")
log = logging.getLogger("interlock")


class Polling:
    """Asks a script until it answers; between two questions, rests until a message comes or REASK seconds are over."""

    def __init__(self, holdings: Holdings, heartbeat: Heartbeat, watch: ServerWatch, inbox: Inbox) -> None:
        self._holdings, self._heartbeat, self._watch, self._inbox = holdings, heartbeat, watch, inbox

    def answered(
        self,
        name: str,
        ask: Callable[[str], Steps[Answer | None]],
        leave: Callable[[str], Steps[Answer | None]],
        timeout: float | None,
        undo: Callable[[str], Steps[object]] | None = None,
    ) -> Steps[Answer | None]:
        """Return what Redis answers in the end, or None when the time is over.

        Args:
            name: of the primitive that the caller waits for.
            ask: asks under an id, in one script that is safe to send twice. It returns None for "not yet": then Redis
                has queued the id, so that a message wakes the caller. It is called again at least every REASK seconds,
                as a sign of life.
            leave: takes the id off the queue, and returns the answer to it, if that has come meanwhile.
            timeout: seconds; None: no limit; 0: one try.
            undo: takes the id of an interrupted caller off the queue, and takes back what Redis answered to it; None:
                `leave` does.
        """
        if timeout != 0:
            check_may_wait("what waits")
        yield from self._watch.checked()
        holdings = self._holdings
        deadline = Deadline(timeout)
        if timeout != 0:
            self._heartbeat.begin()  # the heartbeat ends the listener when the client is no more
            yield from self._inbox.listen(timeout)
        id, signal, queued = holdings.new_id(), Signal(), False
        with holdings.mutex:
            holdings.sleepers[id] = signal
        try:
            while True:
                if timeout != 0:
                    self._heartbeat.note(name)
                answer, rest = None, REASK
                try:
                    answer = yield from ask(id)
                    queued = True
                except UNANSWERED as error:
                    if not queued:
                        raise
                    log.warning("waiting on, though Redis does not answer: %s", described(error))
                    rest = BACKOFF
                left = deadline.within(REASK)
                if answer is None and left <= 0:
                    answer = yield from leave(id)
                    left = 0
                if answer is not None or left <= 0:
                    holdings.end_id(id)
                    return answer
                yield Rest(signal, min(rest, left))
        except InterlockError:  # the call was refused: there is no queue to leave
            raise
        except BaseException:  # the caller was interrupted, perhaps amid the question: the id may be queued
            yield from self._leave_quietly(id, undo or leave)
            raise
        finally:
            with holdings.mutex:
                holdings.sleepers.pop(id, None)

    def _leave_quietly(self, id: str, leave: Callable[[str], Steps[object]]) -> Steps[None]:
        try:
            yield from leave(id)
        except (redis.RedisError, OSError) as error:  # its place lapses: no caller asks for it any more
            log.warning("could not leave a queue: %s", described(error))
        else:
            self._holdings.end_id(id)
