"""Enqueue messages and print how many a second: `python -m enqueue celery_app 1000`.

The first message opens the connections, and is not timed. The handles of all results are kept, as by a producer who
waits for them later.
"""

import asyncio
import importlib
import inspect
import sys
import time
from typing import Any


def enqueue(app: Any, count: int) -> float:
    """Enqueue the messages of an app whose `send` is a function; return the seconds that all but the first took."""
    handles = [app.send(0)]
    began = time.perf_counter()
    handles += [app.send(number) for number in range(1, count)]
    return time.perf_counter() - began


async def enqueue_async(app: Any, count: int) -> float:
    """Do the same with an app whose `send` is a coroutine function."""
    await app.broker.startup()
    handles = [await app.send(0)]
    began = time.perf_counter()
    handles += [await app.send(number) for number in range(1, count)]
    took = time.perf_counter() - began
    await app.broker.shutdown()
    return took


if __name__ == "__main__":
    app, count = importlib.import_module(sys.argv[1]), int(sys.argv[2])
    took = asyncio.run(enqueue_async(app, count)) if inspect.iscoroutinefunction(app.send) else enqueue(app, count)
    print((count - 1) / took)
