"""Waiting for what a script answers in the end: an event, an item, a barrier that opens."""

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
    """Asks a script until it answers, and rests until a message or a second has come."""

    def __init__(self, holdings: Holdings, heartbeat: Heartbeat, watch: ServerWatch, inbox: Inbox) -> None:
        self._holdings, self._heartbeat, self._watch, self._inbox = holdings, heartbeat, watch, inbox

    def answered(
        self,
        ask: Callable[[str], Steps[Answer | None]],
        leave: Callable[[str], Steps[Answer | None]],
        timeout: float | None,
        undo: Callable[[str], Steps[object]] | None = None,
    ) -> Steps[Answer | None]:
        """What Redis answers in the end, or None when the time is over.

        Args:
            ask: asks under an id, in one script that is safe to send twice; None: not yet, and the id is queued, so
                that a message wakes it. It is asked again at least every REASK seconds, as a sign of life.
            leave: takes the id off the queue; what it would have been answered, if that has come meanwhile.
            timeout: seconds; None: no limit; 0: one try.
            undo: takes an id off the queue whose caller was interrupted, and takes back what it was answered; None:
                `leave` does.
        """
        if timeout != 0:
            check_may_wait("what waits")
        yield from self._watch.checked()
        holdings = self._holdings
        deadline = Deadline(timeout)
        if timeout != 0:
            self._heartbeat.begin()  # which ends the listener, when the client is no more
            yield from self._inbox.listen(timeout)
        id, signal, queued = holdings.new_id(), Signal(), False
        with holdings.mutex:
            holdings.sleepers[id] = signal
        try:
            while True:
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
        except InterlockError:  # refused: there is nothing to leave
            raise
        except BaseException:  # interrupted, perhaps on the way: it may be queued
            yield from self._leave_quietly(id, undo or leave)
            raise
        finally:
            with holdings.mutex:
                holdings.sleepers.pop(id, None)

    def _leave_quietly(self, id: str, leave: Callable[[str], Steps[object]]) -> Steps[None]:
        try:
            yield from leave(id)
        except (redis.RedisError, OSError) as error:  # its place lapses: nobody asks for it any more
            log.warning("could not leave a queue: %s", described(error))
        else:
            self._holdings.end_id(id)
