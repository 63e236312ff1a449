"""How a program that enqueues many tasks, or waits for them, goes on when Redis was away."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from kombu.exceptions import OperationalError
from redis import RedisError

from interlock import address
from tasks.celery_app.outage import ATTEMPT_EVERY, OUTAGE_MAX, heals

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")
TROUBLE = (RedisError, OperationalError, OSError)
"""What is raised while Redis does not answer, or refuses."""


def through_outages(ask: Callable[[], Answer], further: str = "", *, patient: bool = True) -> Answer:
    """Return what Redis answers, and ask again while it is away: the question must do no harm if it is asked twice.

    Args:
        ask: asks Redis.
        further: what an error says at its end.
        patient: whether to wait for Redis, for OUTAGE_MAX seconds.

    Raises:
        kombu.exceptions.OperationalError: Redis has not answered in that time, or refuses for a reason that does not
            pass; in one line.
    """
    outage = Outage(further, patient=patient)
    while True:
        try:
            answer = ask()
        except TROUBLE as error:
            time.sleep(outage.pause(error))
        else:
            outage.over()
            return answer


class Outage:
    """How long Redis has been away."""

    def __init__(self, further: str = "", *, patient: bool = True) -> None:
        self._further, self._patient = further, patient
        self._since: float | None = None  # on time.monotonic(); None: Redis answers

    def pause(self, error: BaseException) -> float:
        """Return in how many seconds to ask again. Raises OperationalError if it is of no use."""
        where = address.masked(address.url())
        now = time.monotonic()
        since = now if self._since is None else self._since
        if not heals(error) or not self._patient or now - since > OUTAGE_MAX:
            reason = address.unreachable(where, error.__cause__ or error)
            raise OperationalError(f"{reason}{self._further}") from error
        if self._since is None:
            self._since = now
            log.warning("Redis at %s does not answer: waiting up to %.0f s for it", where, OUTAGE_MAX)
        return ATTEMPT_EVERY

    def over(self) -> None:
        """Note that Redis answers."""
        if self._since is not None:
            self._since = None
            log.warning("Redis answers again")
