"""A Celery app on our transport, whose task notes how late it starts: `celery -A bench.delays.app worker`."""

import os
import time
from typing import Any

import kombu.transport
import redis
from celery import Celery

from workers.extensions import lifecycle

kombu.transport.TRANSPORT_ALIASES["redis"] = "tasks.transport:Transport"
app = Celery("bench.delays", broker=os.environ["BENCH_BROKER"], set_as_current=False)
app.conf.update(task_acks_late=True, task_ignore_result=True, worker_prefetch_multiplier=1)
lifecycle.install(app)
_log: Any = None


@app.task(name="bench.delays.note")  # type: ignore[untyped-decorator]
def note(number: int, due: float) -> None:
    """Write a line: which task starts, and how many seconds late."""
    global _log
    now = time.time()
    if _log is None:
        _log = redis.Redis.from_url(os.environ["BENCH_LOG"])
    _log.rpush("log", f"{number} {now - due:.4f}")
