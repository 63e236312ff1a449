"""Work that waits without holding a thread: queue `aio`, thousands at once in one process."""

import asyncio
import time
from typing import Any

from tasks.celery_app import app, checks
from tasks.support.output import place


def _check(seconds: float) -> None:
    checks.seconds("seconds", seconds)


@app.task(queue="aio", check=_check, track_started=False)  # to store the state STARTED would cost more than the wait
async def wait(seconds: float = 1.0) -> dict[str, Any]:
    """Wait. Returns where the task ran, when it began (seconds since 1970, by that machine's clock), its duration."""
    began, since = time.time(), time.monotonic()
    await asyncio.sleep(seconds)
    return {**place(), "began": began, "took": time.monotonic() - since}
