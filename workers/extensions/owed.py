"""What Redis is owed: acknowledgements, and messages to be given back, that did not reach it at once.

A worker's connection breaks, or Redis refuses for a while, and the task goes on: its message must be acknowledged all
the same, or the task runs again. A thread sends each debt over a connection of its own until Redis has taken it.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

from tasks.celery_app import app
from tasks.celery_app.outage import heals

log = logging.getLogger(__name__)

AGAIN_AFTER = 0.5  # seconds
AT_THE_END = 5.0  # seconds that a worker that stops waits for Redis to take what it is owed

Debt: TypeAlias = Callable[[Any], None]
"""Does over a channel what is owed; it may be done twice."""

_debts: deque[Debt] = deque()
_mutex = threading.Lock()
_thread: threading.Thread | None = None


def owe(debt: Debt) -> None:
    """Have it done soon, in order, from any thread."""
    global _thread
    with _mutex:
        _debts.append(debt)
        if _thread is None:
            _thread = threading.Thread(target=_settle, name="owed", daemon=True)
            _thread.start()


def owes() -> bool:
    """Whether anything is owed."""
    return bool(_debts)


def settled(within: float = AT_THE_END) -> bool:
    """Wait until nothing is owed, or for so many seconds; whether nothing is."""
    until = time.monotonic() + within
    while (thread := _thread) is not None and time.monotonic() < until:
        thread.join(0.05)
    if _debts:
        log.error("Redis did not take %d acknowledgements: these tasks run again", len(_debts))
    return not _debts


def _settle() -> None:
    """Do what is owed until nothing is left."""
    told = False
    while True:
        try:
            with app.connection_for_write() as connection:
                channel = connection.default_channel
                while _settle_first(channel):
                    pass
                return
        except Exception as error:
            if not heals(error):
                log.exception("what Redis is owed is given up: its tasks run again when their time is over")
                _debts.popleft()
            if not told:
                told = True
                log.warning("%d messages are acknowledged, or given back, when Redis takes it: %s", len(_debts), error)
            time.sleep(AGAIN_AFTER)


def _settle_first(channel: Any) -> bool:
    """Do the first; whether there was one. If there is none, the thread has ended with this."""
    global _thread
    with _mutex:
        if not _debts:
            _thread = None
            return False
    _debts[0](channel)
    _debts.popleft()  # by this thread alone
    return True
