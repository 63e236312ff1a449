"""Tasks for tests of the pool for coroutines."""

import asyncio
import os
import time

import redis
from celery.exceptions import SoftTimeLimitExceeded

from interlock import RLock, aio
from tasks import app
from tasks.celery_app import awaiting
from tasks.celery_app.base import Task

PREFIX = "tests.coroutines."


async def note(text):
    """Leave a mark in Redis, in order."""
    await asyncio.to_thread(app.backend.client.rpush, "noted", text)


@app.task(bind=True, queue="aio", name=PREFIX + "own_request")
async def own_request(self, number):
    """Who it thinks it is, before and after others have run."""
    before = self.request.id
    await asyncio.sleep(0.1)
    return {"before": before, "after": self.request.id, "args": self.request.args, "number": number}


@app.task(bind=True, queue="aio", name=PREFIX + "fails_twice")
async def fails_twice(self):
    """Succeeds at its third attempt, by `self.retry`."""
    await asyncio.sleep(0.01)
    if self.request.retries < 2:
        raise self.retry(countdown=0, max_retries=3)
    return self.request.retries


@app.task(bind=True, queue="aio", name=PREFIX + "fails_by_itself", autoretry_for=(OSError,), retry_backoff=False,
          default_retry_delay=0)  # fmt: skip
async def fails_by_itself(self):
    """Succeeds at its second attempt, by `autoretry_for`."""
    await asyncio.sleep(0.01)
    if self.request.retries < 1:
        raise OSError("the first time")
    return self.request.retries


@app.task(queue="aio", name=PREFIX + "cleans_up", soft_time_limit=0.3)
async def cleans_up():
    """Catches its soft time limit."""
    try:
        await asyncio.sleep(30)
    except SoftTimeLimitExceeded:
        await asyncio.sleep(0.01)  # it may still wait
        return "cleaned up"


@app.task(queue="aio", name=PREFIX + "too_long", time_limit=0.5)
async def too_long(kept, mark):
    """Holds a lock past its hard time limit."""
    async with aio.Lock.of(kept):
        try:
            await asyncio.sleep(30)
        finally:
            await note(mark)


@app.task(queue="aio", name=PREFIX + "stays")
async def stays(kept, seconds, mark):
    """Holds a lock for so long, and leaves marks."""
    async with aio.Lock.of(kept):
        await note(f"{mark} in")
        try:
            await asyncio.sleep(seconds)
        finally:
            await note(f"{mark} out")
    return mark


@app.task(queue="aio", name=PREFIX + "forgets")
async def forgets(kept):
    """Leaves a lock held."""
    await aio.Lock.of(kept).acquire()


def add_one(value):
    """A section of a thread, under a lock that lingers: it is committed later."""
    with value.get_lock():
        value.value += 1


@app.task(queue="aio", name=PREFIX + "writes")
async def writes(value):
    """Leaves something to be committed."""
    await asyncio.to_thread(add_one, value)


@app.task(queue="aio", name=PREFIX + "raises")
async def raises(what):
    """Raises what no task should."""
    await asyncio.sleep(0)
    raise {"exit": SystemExit(3), "interrupt": KeyboardInterrupt(), "cancelled": asyncio.CancelledError()}[what]


@app.task(queue="aio", name=PREFIX + "blocks")
async def blocks(seconds):
    """Keeps the event loop."""
    time.sleep(seconds)


@app.task(queue="aio", name=PREFIX + "plain")
def plain(number):
    """No coroutine."""
    return number + 1


async def written_then_lost(value):
    """What it leaves to be committed has lost its lock by then."""
    await asyncio.to_thread(add_one, value)
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as another:
        assert RLock(name=value.name, client=another).break_lock()


class CommitsTooLate(Task):
    """The broken twin of the base: what a task wrote is committed some time after its result is stored."""

    abstract = True

    def __call__(self, *args, **kwargs):
        """Run the body alone."""
        with awaiting.executing():
            return super(Task, self).__call__(*args, **kwargs)


loses = app.task(queue="aio", name=PREFIX + "loses")(written_then_lost)
loses_and_succeeds = app.task(queue="aio", name=PREFIX + "loses_and_succeeds", base=CommitsTooLate)(written_then_lost)


@app.task(queue="aio", name=PREFIX + "stubborn", time_limit=0.3)
async def stubborn():
    """Ignores that it is cancelled."""
    while True:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
