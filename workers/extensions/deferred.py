"""Deferred commands to Redis: acknowledgements, and messages that go back, which did not reach it at once.

A worker's connection breaks, or Redis refuses for a while, and the task goes on. Its message must be acknowledged all
the same, or the task runs again. A thread sends each command over a connection of its own until Redis has taken it.
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
AT_THE_END = 5.0  # seconds that a worker, when it stops, waits for Redis to take the deferred commands

Action: TypeAlias = Callable[[Any], None]
"""Sends a command over a channel. It may take effect twice."""

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


def any_deferred() -> bool:
    """Whether an action is still to be done."""
    return bool(_actions)


def wait_until_done(within: float = AT_THE_END) -> bool:
    """Wait until all actions are done, for `within` seconds at most. Returns whether they are."""
    until = time.monotonic() + within
    while (thread := _thread) is not None and time.monotonic() < until:
        thread.join(0.05)
    if _actions:
        log.error("Redis did not take %d acknowledgements: these tasks run again", len(_actions))
    return not _actions


def _do_all() -> None:
    """Do the actions until none is left."""
    told = False
    while True:
        try:
            with app.connection_for_write() as connection:
                channel = connection.default_channel
                while _do_first(channel):
                    pass
                return
        except Exception as error:
            if not heals(error):
                log.exception("a deferred command is given up: its task runs again after the visibility timeout")
                _actions.popleft()
            if not told:
                told = True
                count = len(_actions)
                log.warning("%d messages are acknowledged, or given back, when Redis takes it: %s", count, error)
            time.sleep(AGAIN_AFTER)


def _do_first(channel: Any) -> bool:
    """Do the first action. Returns False if there is none; then this thread has ended, and `defer` starts another."""
    global _thread
    with _mutex:
        if not _actions:
            _thread = None
            return False
    _actions[0](channel)
    _actions.popleft()  # no other thread removes any
    return True
