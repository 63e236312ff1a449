"""A Celery app, on kombu's transport or on ours: `celery -A bench.kills.app worker`.

Its tasks note their starts and ends in a second Redis, whose list is the log that the report reads.
"""

import asyncio
import os
import time
from typing import Any

import kombu.transport
import redis
from celery import Celery

from bench.kills import TIMEOUT

OURS, STOCK = "interlock", "kombu"
COROUTINES = os.environ["BENCH_POOL"] == "coroutines"


app = Celery(
    "bench.kills",
    broker=os.environ["BENCH_BROKER"],
    set_as_current=False,
    task_cls="tasks.celery_app.base:Task" if COROUTINES else None,
)
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    broker_transport_options={
        "visibility_timeout": TIMEOUT,
        "unacked_restore_interval": 1,  # kombu's; its defaults sweep every 100 seconds
        "unacked_restore_throttle": 1,
        "socket_keepalive": True,
    },
)
if os.environ["BENCH_TRANSPORT"] == OURS:  # with all that our workers add to Celery's
    from workers.extensions import lifecycle

    kombu.transport.TRANSPORT_ALIASES["redis"] = "tasks.transport:Transport"
    lifecycle.install(app)
else:
    assert kombu.transport.TRANSPORT_ALIASES["redis"] == "kombu.transport.redis:Transport"
_log: Any = None


def note(self: Any, number: int, seconds: float, retries: int = 0) -> None:
    """Write that this task starts, take so long, write that it ends; before that, retry so many times."""
    _write("start", number)
    time.sleep(seconds)
    _end(self, number, retries)


async def note_as_coroutine(self: Any, number: int, seconds: float, retries: int = 0) -> None:
    """Do the same as a coroutine."""
    _write("start", number)
    await asyncio.sleep(seconds)
    _end(self, number, retries)


def _end(self: Any, number: int, retries: int) -> None:
    if self.request.retries < retries:
        _write("retry", number)
        raise self.retry(countdown=1.5)
    _write("end", number)


def _write(word: str, number: int) -> None:
    """Write a line: what happens, to which task, when, in which worker (all processes of one are one group)."""
    global _log
    if _log is None:
        _log = redis.Redis.from_url(os.environ["BENCH_LOG"])
    _log.rpush("log", f"{word} {number} {time.time():.6f} {os.getpgrp()}")


declared = app.task(bind=True, name="bench.kills.note", max_retries=None)
task = declared(note_as_coroutine if COROUTINES else note)
