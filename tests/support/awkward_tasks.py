"""Tasks that workers should survive, and that leave a mark of each run."""

import asyncio
import os
import sys
import threading
import time

import redis
from kombu.utils.json import register_type

import interlock
from tasks import app

PREFIX = "tests.awkward."


def note(key, mark):
    """Leave a mark in Redis, or in another one that tests look into."""
    with redis.Redis.from_url(os.environ.get("NOTES_URL") or os.environ["REDIS_URL"]) as client:
        client.rpush(key, mark)


@app.task(bind=True, name=PREFIX + "counted")
def counted(self, seconds):
    """Note that a run has begun, and take so long."""
    note("begun", self.request.id)
    time.sleep(seconds)
    note("done", self.request.id)
    return self.request.id


@app.task(bind=True, name=PREFIX + "held_up")
def held_up(self):
    """Note that a run has begun, and go on when the test says so."""
    note("begun", self.request.id)
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        gone_on = client.blmove("go", "go", 60.0)
    assert gone_on, "nobody said so within a minute"
    note("done", self.request.id)
    return self.request.id


@app.task(bind=True, name=PREFIX + "counted_coroutine")
async def counted_coroutine(self, seconds):
    """The same, for many at once."""
    note("begun", self.request.id)
    await asyncio.sleep(seconds)
    note("done", self.request.id)
    return self.request.id


class StrangeError(BaseException):
    """Nobody expects it."""


ENDS = {
    "SystemExit(3)": lambda: sys.exit(3),
    "SystemExit()": SystemExit,
    "KeyboardInterrupt()": KeyboardInterrupt,
    "GeneratorExit()": GeneratorExit,
    "StrangeError('x')": lambda: StrangeError("x"),
    "MemoryError()": MemoryError,
    "CancelledError": asyncio.CancelledError,
}
"""What raises it, or makes it to be raised, by its repr."""


def end(how):
    """Raise it."""
    raise ENDS[how]() or AssertionError("unreachable")


def check_end(how, where):
    """Raise it in the worker, where it is to be raised in the check."""
    if where == "check" and "celery" in sys.argv[0]:
        end(how)


@app.task(bind=True, name=PREFIX + "ends", check=check_end)
def ends(self, how, where):
    """Raise it in the body, or in a lock."""
    note("begun", self.request.id)
    if where == "lock":
        with interlock.Lock(name="held by ends"):
            end(how)
    if where == "body":
        end(how)
    return how


@app.task(bind=True, name=PREFIX + "ends_coroutine", check=check_end)
async def ends_coroutine(self, how, where):
    """The same, as a coroutine."""
    note("begun", self.request.id)
    await asyncio.sleep(0)
    if where == "body":
        end(how)
    return how


class Awkward:
    """An argument that travels; in a worker it raises where it is told to."""

    def __init__(self, where):
        if where == "exit" and "celery" in sys.argv[0]:
            sys.exit(4)
        self.where = where

    def __repr__(self):
        if self.where == "repr" and "celery" in sys.argv[0]:
            raise ValueError("no repr")
        return f"Awkward({self.where!r})"


register_type(Awkward, "awkward", lambda awkward: awkward.where, Awkward)


class AwkwardError(Exception):
    """One that cannot be pickled, shown or made again."""

    def __init__(self, first, second):
        super().__init__(first)
        self.lock = threading.Lock()

    def __str__(self):
        raise ValueError("no text")

    __repr__ = __str__


def nested(depth):
    """Lists in lists."""
    outer = []
    for _ in range(depth):
        outer = [outer]
    return outer


RESULTS = {
    "object": object,
    "nested": lambda: nested(5000),
    "circular": lambda: (circle := [], circle.append(circle))[0],
    "set of sets": lambda: {frozenset([object()])},
    "key": lambda: {(1, 2): 3},
}


@app.task(name=PREFIX + "takes")
def takes(*arguments):
    """Take anything."""
    return len(arguments)


@app.task(name=PREFIX + "results_in")
def results_in(what):
    """Return what is no JSON."""
    return RESULTS[what]()


@app.task(name=PREFIX + "raises_awkward")
def raises_awkward():
    """Raise it."""
    raise AwkwardError(nested(2000), object())


WAITS = {
    "Lock": lambda name: interlock.Lock(name=name).acquire(),
    "RLock": lambda name: interlock.RLock(name=name).acquire(),
    "with": lambda name: interlock.Lock(name=name).__enter__(),
    "lingering": lambda name: interlock.Lock(name=name, linger=1.0).acquire(),
    "Semaphore": lambda name: interlock.Semaphore(1, name=name).acquire(),
    "Event": lambda name: interlock.Event(name=name).wait(),
    "Queue": lambda name: interlock.Queue(name=name).get(),
    "Barrier": lambda name: interlock.Barrier(2, name=name).wait(),
    "Condition": lambda name: wait_for_condition(name),
    "Value": lambda name: interlock.Value("i", 0, lock=interlock.Lock(name=name)).get_lock().acquire(),
}
"""Ways to wait for something of that name, for ever."""


def wait_for_condition(name):
    """In a section, as one does; the lock is free meanwhile, and the waker keeps it."""
    condition = interlock.Condition(lock=interlock.RLock(name=name))
    with condition:
        note("inside", name)
        condition.wait()


@app.task(bind=True, name=PREFIX + "waits")
def waits(self, kind, name, before):
    """Be busy until that mark is there, then wait."""
    note("begun", self.request.id)
    try:
        with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
            while before and not client.exists(before):
                time.sleep(0.01)
        try:
            WAITS[kind](name)
        except Exception:  # as careless tasks do
            note("caught", self.request.id)
        note("entered", self.request.id)
    finally:
        note("ended", self.request.id)


@app.task(name=PREFIX + "limited", time_limit=1.0)
def limited():
    """One with a limit of its own."""
