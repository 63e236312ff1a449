"""Tasks that workers should survive, and that leave a mark of each run."""

import asyncio
import os
import time

import redis

from tasks import app

PREFIX = "tests.awkward."


def note(key, mark):
    """Leave a mark in Redis."""
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        client.rpush(key, mark)


@app.task(bind=True, name=PREFIX + "counted")
def counted(self, seconds):
    """Note that a run has begun, and take so long."""
    note("begun", self.request.id)
    time.sleep(seconds)
    note("done", self.request.id)
    return self.request.id


@app.task(bind=True, name=PREFIX + "counted_coroutine")
async def counted_coroutine(self, seconds):
    """The same, for many at once."""
    note("begun", self.request.id)
    await asyncio.sleep(seconds)
    note("done", self.request.id)
    return self.request.id
