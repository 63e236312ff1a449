"""Tasks that do what a test tells them, step by step: print lines, say how far they have come, hold locks."""

import asyncio
import json
import os

import redis

import interlock
from interlock import aio
from tasks import app, progress, say

ORDERS_SECONDS = 120  # how long a task waits for its next order


def order(client, id, *words):
    """Tell a task what to do: its list is its ears."""
    client.rpush(f"orders {id}", json.dumps(words))


def _next(id):
    with redis.Redis.from_url(os.environ["REDIS_URL"], socket_timeout=None) as client:
        heard = client.blpop(f"orders {id}", timeout=ORDERS_SECONDS)
    assert heard, "nobody gave an order"
    return json.loads(heard[1])


@app.task(bind=True, name="tests.telling.obeys")
def obeys(self):
    """Do as told, until told to end."""
    held = {}
    while True:
        verb, *words = _next(self.request.id)
        if verb == "end":
            return words
        if verb == "fail":
            raise RuntimeError(*words)
        if verb == "hold":
            held[words[0]] = interlock.Lock(name=words[0], linger=0)
            held[words[0]].acquire()
        elif verb == "release":
            held.pop(words[0]).release()
        else:
            {"say": say, "progress": progress}[verb](*words)


@app.task(bind=True, name="tests.telling.obeys_as_coroutine")
async def obeys_as_coroutine(self):
    """The same, as a coroutine."""
    held = {}
    while True:
        verb, *words = await asyncio.to_thread(_next, self.request.id)
        if verb == "end":
            return words
        if verb == "hold":
            held[words[0]] = aio.Lock(name=words[0], linger=0)
            await held[words[0]].acquire()
        else:
            {"say": say, "progress": progress}[verb](*words)


@app.task(bind=True, name="tests.telling.counts")
def counts(self, steps, times=1):
    """Say each step, as often as asked, as fast as it goes."""
    for step in range(1, steps + 1):
        for _ in range(times):
            progress(step, steps)
    return steps
