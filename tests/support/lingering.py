"""What the tests of locks that linger share."""

import os
from contextlib import contextmanager

import redis

import interlock
from interlock._station import Station


def lock_of_its_own(name, **options):
    """Of another session: another process, as far as the lock can tell."""
    return interlock.Lock(name=name, client=redis.Redis.from_url(os.environ["REDIS_URL"]), **options)


def scripts_called(client):
    return int(client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"])


@contextmanager
def no_look(monkeypatch):
    """The heartbeat leaves what lingers alone."""
    with monkeypatch.context() as patch:
        patch.setattr(Station, "over", lambda self: self.returning is not None)
        patch.setattr(Station, "uncommitted", lambda _: False)
        yield


def count(value, times, step):
    for _ in range(times):
        with value.get_lock():
            value.value += step
