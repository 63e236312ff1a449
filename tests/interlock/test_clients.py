"""Many clients, one after the other: each leaves no thread and no connection behind."""

import gc
import os
import threading

import pytest
import redis
from peers import wait_until

import interlock


def ours():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("interlock-")]


def connected(client):
    return int(client.info("clients")["connected_clients"])


def lock(client):
    with interlock.Lock(client=client):
        pass


def lingering_lock(client):
    with interlock.Lock(client=client, linger=0.01):
        pass


def wait_for_event(client):
    interlock.Event(client=client).wait(0.01)


@pytest.mark.parametrize("use", [lock, lingering_lock, wait_for_event])
def test_client_a_request_leaves_a_handful_of_threads_and_connections(client, use):
    """As a web server does that makes a client for each request, and drops it."""
    gc.collect()
    threads, connections = len(ours()), connected(client)
    most_threads = most_connections = 0
    for _ in range(40):
        use(redis.Redis.from_url(os.environ["REDIS_URL"]))
        most_threads = max(most_threads, len(ours()) - threads)
        most_connections = max(most_connections, connected(client) - connections)
    assert most_threads < 20
    assert most_connections < 40
    wait_until(lambda: len(ours()) <= threads, what="the end of the threads")
    gc.collect()
    wait_until(lambda: connected(client) <= connections, what="the end of the connections")


def test_lock_that_a_client_held_is_free_soon_after_the_client_went(client):
    own = interlock.Lock(client=redis.Redis.from_url(os.environ["REDIS_URL"]), linger=0)
    own.acquire()
    name = own.name
    del own
    gc.collect()
    assert interlock.Lock(name=name).acquire(timeout=3)
    interlock.Lock(name=name).release()
