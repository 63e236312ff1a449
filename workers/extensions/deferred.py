"""Deferred actions: what a worker has to store in Redis about messages that it cannot run.

A thread does each action until Redis has taken it, so that an outage does not hold up the worker.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from tasks.celery_app.outage import heals

log = logging.getLogger(__name__)

AGAIN_AFTER = 0.5  # seconds
AT_THE_END = 5.0  # seconds that a worker, when it stops, waits for Redis to take the deferred commands

Action: TypeAlias = Callable[[], None]
"""May take effect twice."""

_actions: deque[Action] = deque()
_mutex = threading.Lock()
_thread: threading.Thread | None = None


def defer(action: Action) -> None:
    """Have an action done soon, after those deferred before. Any thread may call this."""
    global _thread
    with _mutex:
        _actions.append(action)
        if _thread is None:
            _thread = threading.Thread(target=_do_all, name="deferred", daemon=True)
            _thread.start()


def wait_until_done(within: float = AT_THE_END) -> bool:
    """Wait until all actions are done, for `within` seconds at most. Returns whether they are."""
    until = time.monotonic() + within
    while (thread := _thread) is not None and time.monotonic() < until:
        thread.join(0.05)
    if _actions:
        log.error("Redis did not take %d messages that cannot be run: they come again", len(_actions))
    return not _actions


def _do_all() -> None:
    """Do the actions until none is left."""
    told = False
    while True:
        try:
            while _do_first():
                pass
            return
        except Exception as error:
            if not heals(error):
                log.exception("a deferred action is given up: its message comes back")
                _actions.popleft()
            elif not told:
                told = True
                log.warning("%d messages that cannot be run are buried when Redis takes it: %s", len(_actions), error)
            time.sleep(AGAIN_AFTER)


def _do_first() -> bool:
    """Do the first action. Returns False if there is none; then this thread has ended, and `defer` starts another."""
    global _thread
    with _mutex:
        if not _actions:
            _thread = None
            return False
    _actions[0]()
    _actions.popleft()  # no other thread removes any
    return True
