"""The server is looked at before it is trusted; errors that a user can cause are one line."""

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
import redis
from peers import wait_until
from servers import server_binary

import interlock
from interlock import address
from workers.local_stack import redis_server


def test_nobody_there_is_one_line_that_names_address_variable_and_make_up(monkeypatch):
    monkeypatch.setenv("REDIS_URL", f"redis://:secret@127.0.0.1:{redis_server.free_port()}/0")
    with pytest.raises(interlock.UnreachableError) as caught:
        interlock.Lock().acquire()
    text = str(caught.value)
    assert "127.0.0.1" in text
    assert "REDIS_URL" in text
    assert "make up" in text
    assert "secret" not in text
    assert "\n" not in text


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost", "redis://", "redis://h:port/0", "unix://"])
def test_bad_redis_url_is_refused(monkeypatch, url):
    monkeypatch.setenv("REDIS_URL", url)
    with pytest.raises(ValueError, match="REDIS_URL must be"):
        interlock.Lock().acquire()


def test_password_is_masked():
    assert address.masked("redis://me:pass@h:1/0") == "redis://me:***@h:1/0"
    assert address.masked("redis://:p@ss@h:1/0") == "redis://:***@h:1/0"
    assert address.masked("redis://h:1/0") == "redis://h:1/0"


@pytest.mark.parametrize("prefix", ["a{b", "a b", "}"])
def test_bad_prefix_is_refused(monkeypatch, prefix):
    monkeypatch.setenv("INTERLOCK_PREFIX", prefix)
    with pytest.raises(ValueError, match="INTERLOCK_PREFIX must hold no braces"):
        address.prefix()


def test_server_that_may_evict_locks_is_refused(client):
    client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(interlock.InterlockError, match="set maxmemory-policy to noeviction"):
            interlock.Lock(client=redis.Redis.from_url(os.environ["REDIS_URL"])).acquire()
    finally:
        client.config_set("maxmemory-policy", "noeviction")


def test_client_that_decodes_and_one_that_does_not_do_alike():
    for decode in (True, False):
        own = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=decode)
        value = interlock.Value("i", 1, client=own)
        with value.get_lock():
            value.value += 1
        assert value.value == 2
        with interlock.Semaphore(2, client=own) as held:
            assert held


def test_session_ends_with_its_client():
    import gc

    def ours():
        return {thread for thread in threading.enumerate() if thread.name.startswith("interlock-")}

    before = ours()  # of earlier tests: some may just end
    own = redis.Redis.from_url(os.environ["REDIS_URL"])
    lock = interlock.Lock(client=own)
    with lock:
        assert ours() - before
    own.close()
    del lock, own
    gc.collect()
    wait_until(lambda: not ours() - before, what="the end of the session's threads")


def test_waiting_goes_on_when_redis_is_back_and_scripts_are_forgotten():
    with tempfile.TemporaryDirectory() as folder:
        port = redis_server.free_port()
        path = server_binary()
        child = redis_server.start(Path(folder), port, path)
        own = redis.Redis(port=port)
        lock = interlock.Lock(client=own, lease=2.0)
        lock.acquire()

        entered = threading.Event()
        other = interlock.Lock(name=lock.name, client=redis.Redis(port=port), lease=2.0)

        def wait():
            with other:
                entered.set()

        thread = threading.Thread(target=wait)
        thread.start()
        try:
            wait_until(lambda: lock.statistics().waiters)
            child.process.kill()
            child.process.wait()
            wait_until(lambda: lock.lost, what="the end of the lease while Redis is away")
            child = redis_server.start(Path(folder), port, path)
            with pytest.raises(interlock.LeaseLostError):
                lock.release()
            assert entered.wait(20)
            thread.join(20)
        finally:
            child.ask_to_stop()
            child.stop(5)


def test_scripts_are_sent_again_when_the_server_forgot_them(client):
    lock = interlock.Lock()
    with lock:
        client.script_flush()
    with lock:
        pass


def test_interlock_imports_neither_celery_nor_the_stack():
    code = (
        "import sys, interlock; print([m for m in ('celery', 'kombu', 'tasks', 'workers', 'rich') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_noise_on_the_sessions_channel_does_not_silence_the_listener(client):

    lock = interlock.Lock()
    entered = threading.Event()

    def wait():
        with lock:
            entered.set()

    with lock:
        thread = threading.Thread(target=wait)
        thread.start()
        wait_until(lambda: lock.statistics().waiters)
        for channel in client.pubsub_channels("interlock:session:*"):
            client.publish(channel, "noise")
    assert entered.wait(10)
    thread.join(10)


def test_one_spoilt_name_does_not_end_the_leases_of_others(client):
    good, spoilt = interlock.Lock(lease=0.6), interlock.Lock(lease=0.6)
    with good:
        spoilt.acquire()
        client.delete(f"interlock:{{{spoilt.name}}}")
        client.set(f"interlock:{{{spoilt.name}}}", "not a hash", px=60_000)
        wait_until(lambda: spoilt.lost, what="the end of the spoilt lease")
        assert not good.lost
    with pytest.raises(redis.ResponseError):
        spoilt.release()


def test_database_that_does_not_exist_is_one_line(monkeypatch):
    monkeypatch.setenv("REDIS_URL", os.environ["REDIS_URL"].replace("/0", "/99"))
    with pytest.raises(interlock.UnreachableError, match=r"refuses: .*; set REDIS_URL to what it allows"):
        interlock.Lock().acquire()


def test_client_that_is_none_is_refused():
    with pytest.raises(
        TypeError, match=r"client must be a redis\.Redis, a redis\.cluster\.RedisCluster or None, not str"
    ):
        interlock.Lock(client="redis://")


@pytest.mark.parametrize("how", ["acquire", "wait", "try"])
@pytest.mark.parametrize("twin", [False, True])
def test_nobody_asks_for_a_lease_after_redis_has_forgotten_who_holds(monkeypatch, tmp_path, how, twin):
    """A restart without memory: who held goes on within its lease, and nobody who notices comes in beside it."""
    from interlock._holding.holdings import Holdings
    from interlock._session.process import session

    if twin:
        monkeypatch.setattr(Holdings, "quiet", lambda *_: 0.0)
    port, path = redis_server.free_port(), server_binary()
    for folder in "12":
        (tmp_path / folder).mkdir()
    child = redis_server.start(tmp_path / "1", port, path)
    clients = [redis.Redis(port=port) for _ in range(2)]
    lock = interlock.Lock(client=clients[0], lease=4.0)
    other = interlock.Lock(name=lock.name, client=clients[1], lease=4.0)
    entered, thread = threading.Event(), None

    def wait():
        with other:
            entered.set()

    try:
        with other:
            pass
        lock.acquire()
        if how == "wait":
            thread = threading.Thread(target=wait)
            thread.start()
            wait_until(lambda: lock.statistics().waiters)
        child.process.kill()
        child.process.wait()
        for name in ("_beat", "_reconnected"):  # the holder hears nothing, as if it were cut off
            monkeypatch.setattr(session(clients[0]).heartbeat, name, lambda: None)
        child = redis_server.start(tmp_path / "2", port, path)
        if how == "try":
            assert other.acquire(blocking=False) == twin
        elif how == "acquire":
            assert other.acquire(timeout=2.0) == twin
        else:
            entered.wait(2.0)
            assert entered.is_set() == twin
            assert entered.wait(20)
            thread.join(20)
        if how != "wait" and twin:
            assert not lock.lost, "two hold it"
    finally:
        child.stop(0)
