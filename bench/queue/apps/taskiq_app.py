"""taskiq with its own defaults, on the stream broker of taskiq-redis, which acknowledges: `taskiq worker`."""

from typing import Any

import body
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

broker = RedisStreamBroker(url=body.URL)
if body.KEPT:
    broker = broker.with_result_backend(RedisAsyncResultBackend(redis_url=body.URL, prefix_str="taskiq-results"))
work = broker.task(task_name="work")(body.work_async)


async def send(number: int) -> Any:
    """Enqueue a message."""
    return await work.kiq(number)
