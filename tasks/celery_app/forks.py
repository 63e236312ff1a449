"""What a producer must not share with a child that it forks: the sockets by which it sends tasks and hears of results.

Celery and kombu know of children of `multiprocessing` alone, and their results' consumer of none. With `os.fork`, which
gunicorn's `preload_app` does, parent and children then read each other's results, and each waits for what another took.
A child therefore begins anew, before any code of its own runs. It sends nothing over what was its parent's, and takes
none of its locks: a thread that is no more may have them.
"""

import os
import weakref
from queue import LifoQueue
from typing import Protocol

from celery import Celery
from kombu import pools


class Forked(Protocol):
    """What has something that a child must not share."""

    def begin_anew(self) -> None:
        """Called in the child: forget what is the parent's."""


forked: "weakref.WeakSet[Forked]" = weakref.WeakSet()
_apps: "weakref.WeakSet[Celery]" = weakref.WeakSet()


def part_at_fork(app: Celery) -> None:
    """Have children of this process make connections of their own to the app's broker."""
    _apps.add(app)


def _begin_anew() -> None:
    for group in pools._groups:
        for pool in group.values():
            pool._resource, pool._dirty = LifoQueue(), set()  # multiprocessing will have it closed, in a moment
        group.clear()
    for app in list(_apps):
        app._pool = None
        amqp = vars(app).get("amqp")
        if amqp is not None:
            amqp._producer_pool = None
    for each in list(forked):
        each.begin_anew()


os.register_at_fork(after_in_child=_begin_anew)
