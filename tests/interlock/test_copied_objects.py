"""A copy in the same process is the same thing; what is pickled finds it by REDIS_URL, or says that it would not."""

import asyncio
import copy
import dataclasses
import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
import redis
import redis.asyncio
from kombu.exceptions import EncodeError
from kombu.serialization import dumps
from peers import SPAWN
from redis.sentinel import Sentinel

import interlock
import interlock.aio
from interlock import _primitive
from interlock._session import clients
from interlock.inspection import inspect
from workers.local_stack import redis_server

interlock.register_with_kombu()


@dataclasses.dataclass
class Job:
    lock: interlock.Lock


@pytest.fixture(scope="module")
def other():
    """A second server, to which REDIS_URL does not lead: clients of it, and how many keys it has."""
    folder = Path(tempfile.mkdtemp(prefix="interlock-tests-"))
    port = redis_server.free_port()
    child = redis_server.start(folder, port)
    try:
        yield SimpleNamespace(
            port=port,
            client=lambda **options: redis.Redis(host="127.0.0.1", port=port, **options),
            clients=lambda: redis.asyncio.Redis(host="127.0.0.1", port=port),
        )
    finally:
        interlock.close()
        child.ask_to_stop()
        child.stop(5)
        shutil.rmtree(folder)


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "asdict": lambda thing: dataclasses.asdict(Job(thing))["lock"],
    "replace": lambda thing: dataclasses.replace(Job(thing)).lock,
    "deepcopy in a list": lambda thing: copy.deepcopy([thing])[0],
}
LOCKS = {
    "Lock": lambda **options: interlock.Lock(**options),
    "lingering Lock": lambda **options: interlock.Lock(linger=1, **options),
    "Semaphore": lambda **options: interlock.Semaphore(1, **options),
    "BoundedSemaphore": lambda **options: interlock.BoundedSemaphore(1, **options),
    "writer": lambda **options: interlock.RWLock(**options).writer,
    "Condition": lambda **options: interlock.Condition(interlock.Lock(**options)),
}


@pytest.mark.parametrize("make", LOCKS.values(), ids=LOCKS)
@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_copy_of_a_lock_is_the_same_lock_at_its_clients_address(other, make, copied):
    """Whoever holds by one object keeps out whoever asks by its copy, and the other way round."""
    lock = make(client=other.client())
    with lock:
        twin = copied(lock)
        assert type(twin) is type(lock)
        assert not twin.acquire(False)
    with copied(lock):
        assert not lock.acquire(False)


def test_two_hold_at_once_if_copies_go_by_the_pickle(other, monkeypatch):
    """The broken twin: copies that leave their client behind, as a pickle does, and do not say so."""
    monkeypatch.delattr(_primitive.Primitive, "__copy__")
    monkeypatch.delattr(_primitive.Primitive, "__deepcopy__")
    monkeypatch.setattr(clients, "apart", lambda client: None)
    lock = interlock.Lock(client=other.client(), linger=0)
    with lock:
        for copied in COPIES.values():
            twin = copied(lock)
            if twin is not lock:
                assert twin.acquire(False)
                twin.release()


def test_copies_of_an_rlock_and_of_rwlocks_are_the_same_at_their_clients_address(other):
    rlock = interlock.RLock(client=other.client())
    refused = []
    with copy.deepcopy(rlock):
        thread = threading.Thread(target=lambda: refused.append(not rlock.acquire(False)))
        thread.start()
        thread.join()
    assert refused == [True]
    shared = interlock.RWLock(client=other.client())
    with copy.deepcopy(shared).writer:
        assert not copy.copy(shared).reader.acquire(False)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copies_of_what_carries_state_are_the_same_at_their_clients_address(other, copied):
    """Events, barriers, queues, pipes, values and arrays; with what travels by no pickle: actions and `pickle=True`."""
    options = {"client": other.client(), "ttl": 60}
    event, barrier = interlock.Event(**options), interlock.Barrier(1, lambda: ran.append(1), **options)
    ran = []
    copied(event).set()
    assert event.is_set()
    assert copied(barrier).wait() == 0
    assert ran == [1]
    for queue in (interlock.Queue(pickle=True, **options), interlock.JoinableQueue(pickle=True, **options)):
        copied(queue).put({1})
        assert queue.get() == {1}
        queue.close()
        with pytest.raises(ValueError, match="closed"):
            copied(queue).get()
    reader, writer = interlock.Pipe(**options)
    copied(writer).send(1)
    assert copied(reader).recv() == 1
    copied(writer).close()
    with pytest.raises(EOFError):
        reader.recv()
    for made in (interlock.RawValue("i", 5, **options), interlock.Value("i", 5, **options)):
        copied(made).value = 6
        assert made.value == 6
        made.unlink()
    for made in (interlock.RawArray("i", [5], **options), interlock.Array("i", [5], **options)):
        copied(made)[0] = 6
        assert made[:] == [6] == copied(made)[:]
        made.unlink()


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copies_for_coroutines_are_the_same_at_their_clients_address(other, copied):
    async def held():
        client = other.clients()
        try:
            for make in (interlock.aio.Lock, interlock.aio.Semaphore, interlock.aio.Condition):
                lock = make(client=client)
                async with copied(lock):
                    refused = await asyncio.create_task(_tried(lock))
                    assert refused
            value = interlock.aio.Value("i", 5, client=client)
            await copied(value).set(6)
            assert await value.get() == 6
            await value.unlink()
            queue = interlock.aio.Queue(client=client)
            await copied(queue).put(1)
            assert await queue.get() == 1
            copied(queue).close()
            await queue.put(2)
            await queue.unlink()
        finally:
            await client.aclose()

    asyncio.run(held())


async def _tried(lock):
    return not await lock.acquire(False)


def test_deep_copy_keeps_what_is_shared_shared(other):
    """A lock that guards a value, and stands beside it, does so in the copy."""
    lock = interlock.RLock(client=other.client())
    changed = interlock.Condition(lock)
    value = interlock.Value("i", 0, lock=lock, client=other.client(), ttl=60)
    twins = copy.deepcopy({"lock": lock, "value": value, "changed": changed, "again": [lock]})
    assert twins["lock"] is not lock
    assert twins["value"].get_lock() is twins["changed"].get_lock() is twins["again"][0] is twins["lock"]
    with twins["changed"]:
        twins["value"].value += 1
        twins["changed"].notify()
    assert value.value == 1
    shallow = copy.copy(value)
    assert shallow is not value
    assert shallow.get_lock() is lock
    value.unlink()


def travels_nowhere(thing):
    """What pickling, and JSON, say of it: in one line, with both addresses and no password."""
    said = []
    for carry in (
        lambda: pickle.dumps(thing),
        lambda: dumps([thing], serializer="json"),
        lambda: pickle.dumps([thing]),
    ):
        with pytest.raises((TypeError, EncodeError)) as caught:
            carry()
        said.append(str(caught.value))
    assert len(set(said)) == 1
    assert "\n" not in said[0]
    assert "secret" not in said[0]
    return said[0]


def test_what_is_pickled_at_another_address_than_redis_url_is_refused(other):
    """It would be another lock on arrival, and two would hold at once."""
    port = redis.Redis.from_url(os.environ["REDIS_URL"]).connection_pool.connection_kwargs["port"]
    client = other.client(password="secret")
    lock = interlock.Lock(client=client)
    for thing in (
        lock,
        interlock.RWLock(client=client).reader,
        interlock.Condition(lock),
        interlock.Event(client=client),
        interlock.Barrier(2, client=client),
        interlock.SimpleQueue(client=client),
        interlock.Pipe(client=client)[0],
        interlock.aio.Lock(client=other.clients()),
    ):
        text = travels_nowhere(thing)
        assert f"127.0.0.1:{other.port}/0" in text
        assert f"REDIS_URL to 127.0.0.1:{port}/0" in text
        assert "make it anew" in text
    value = interlock.Value("i", 0, client=other.client(), ttl=60)
    travels_nowhere(value)
    value.unlink()
    travels_nowhere(interlock.Lock(client=redis.Redis(port=port, db=1)))
    travels_nowhere(interlock.Lock(client=redis.Redis(unix_socket_path="/run/redis.sock")))
    with pytest.raises(TypeError, match="client"):
        interlock.aio.Lock.of(lock)


def test_refusal_says_that_redis_url_is_not_set(other, monkeypatch):
    monkeypatch.delenv("REDIS_URL")
    assert "REDIS_URL is not set, which means 127.0.0.1:6390/0" in travels_nowhere(
        interlock.Lock(client=other.client())
    )


def test_what_is_pickled_at_the_address_of_redis_url_travels(monkeypatch):
    """Also where the address is spelt in another way, and where only Sentinel knows it."""
    url = os.environ["REDIS_URL"]
    port = redis.Redis.from_url(url).connection_pool.connection_kwargs["port"]
    sentinel = Sentinel([("127.0.0.1", redis_server.free_port())])
    for client in (
        redis.Redis.from_url(url),
        redis.Redis(port=port),
        redis.Redis("::1", port),
        sentinel.master_for("m"),
    ):
        lock = interlock.Lock(client=client)
        assert pickle.loads(pickle.dumps(lock)).name == lock.name
    assert json.loads(dumps(interlock.Lock(name="x"), serializer="json")[2])["__value__"]["name"] == "x"
    for spelt in ("redis://localhost:7000/2", "redis://:secret@127.0.0.1:7000/2"):
        monkeypatch.setenv("REDIS_URL", spelt)
        pickle.dumps(interlock.Lock(client=redis.Redis("127.0.0.1", 7000, db=2, password="other")))


def acquired(lock):
    return lock.acquire(False)


def test_pool_of_processes_refuses_a_lock_of_another_address(other):
    """The error reaches whoever submits the work."""
    with ProcessPoolExecutor(1, mp_context=SPAWN) as pool:
        with pytest.raises(TypeError, match="REDIS_URL"):
            pool.submit(acquired, interlock.Lock(client=other.client())).result(60)
        lock = interlock.Lock()
        with lock:
            assert pool.submit(acquired, lock).result(60) is False


def test_objects_for_coroutines_are_unpickled_where_nobody_has_imported_them():
    """A process that has imported nothing of ours unpickles an `aio.Lock`; one that knows `interlock`, JSON."""
    text = pickle.dumps(interlock.aio.Lock(name="x")).hex()
    attach = "from interlock._primitive import attach; print(attach({'kind': 'aio.Event', 'name': 'y', 'ttl': None}))"
    for code in (f"import pickle; print(pickle.loads(bytes.fromhex('{text}')))", attach):
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert said.stdout.startswith("<interlock.aio."), said.stderr


def test_gone_value_says_where_it_was_looked_for():
    value = interlock.RawValue("i", 0)
    port = redis.Redis.from_url(os.environ["REDIS_URL"]).connection_pool.connection_kwargs["port"]
    value.unlink()
    with pytest.raises(interlock.GoneError, match=f"exists no longer at 127.0.0.1:{port}"):
        _ = pickle.loads(pickle.dumps(value)).value
    assert not inspect()
