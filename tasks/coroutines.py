"""Work that waits and holds no thread meanwhile: queue `aio`, thousands at once in one process."""

import asyncio
import time
from typing import Any

from tasks.celery_app import app, checks
from tasks.support.output import place


def _check(seconds: float) -> None:
    checks.seconds("seconds", seconds)


@app.task(queue="aio", check=_check, track_started=False)  # storing that it has started would cost more than waiting
async def wait(seconds: float = 1.0) -> dict[str, Any]:
    """Wait. Returns where it ran, when it began (seconds since 1970, by that machine's clock), and how long it took."""
    began, since = time.time(), time.monotonic()
    await asyncio.sleep(seconds)
    return {**place(), "began": began, "took": time.monotonic() - since}
