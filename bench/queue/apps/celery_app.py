"""Stock Celery on kombu's Redis transport: `celery -A celery_app worker`."""

import os
from typing import Any

import body
from celery import Celery

OURS: dict[str, Any] = {
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "worker_prefetch_multiplier": 1,
    "worker_disable_prefetch": True,
    "result_extended": True,
    "task_track_started": True,
    "worker_send_task_events": True,
}
"""The project's settings that change what a message costs. A test compares them with the project's."""

app = Celery("celery_app", broker=body.URL, backend=body.URL)
if os.environ.get("BENCH_SETTINGS") != "defaults":
    app.conf.update(OURS)
work = app.task(name="work", ignore_result=not body.KEPT)(body.work)
send = work.delay
