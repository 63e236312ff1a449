"""Forks of a producer: a child opens its own sockets to send tasks and receive results.

Celery and kombu notice only children of `multiprocessing`, and their consumer of results notices none. After `os.fork`,
which gunicorn's `preload_app` uses, parent and children would read each other's results, and each would wait for what
another has taken. Therefore a child begins anew before its own code runs. It sends nothing over its parent's sockets,
and takes none of its parent's locks, for a thread that the child does not have may hold them.
"""

import os
import weakref
from queue import LifoQueue
from typing import Protocol

from celery import Celery
from kombu import pools


class Forked(Protocol):
    """An object with a socket or a lock that a child must not share with its parent."""

    def begin_anew(self) -> None:
        """Forget what belongs to the parent. Called in the child."""


forked: "weakref.WeakSet[Forked]" = weakref.WeakSet()
_apps: "weakref.WeakSet[Celery]" = weakref.WeakSet()


def part_at_fork(app: Celery) -> None:
    """Have children of this process make connections of their own to the app's broker."""
    _apps.add(app)


def _begin_anew() -> None:
    for group in pools._groups:
        for pool in group.values():
            pool._resource, pool._dirty = LifoQueue(), set()  # multiprocessing closes the old ones
        group.clear()
    for app in list(_apps):
        app._pool = None
        amqp = vars(app).get("amqp")
        if amqp is not None:
            amqp._producer_pool = None
    for each in list(forked):
        each.begin_anew()


os.register_at_fork(after_in_child=_begin_anew)
