"""A name is its characters: whatever kind of `str` they come in, and whoever asks, it names one thing."""

import asyncio
import enum
import json
import os
import subprocess
import sys
import threading
import urllib.parse

import pytest
import redis
import redis.asyncio
from peers import wait_until

import interlock
import interlock.aio
from interlock import _arguments


class Named(str, enum.Enum):  # noqa: UP042 - a StrEnum formats as its value
    """Formats as `Named.REPORT`, and not as its value."""

    REPORT = "report"


class Loud(str):
    """Answers for itself wherever a str can be asked."""

    __slots__ = ()

    def __str__(self):
        return "loud"

    def __format__(self, spec):
        return "loud"

    def __eq__(self, other):
        return self is other

    def __hash__(self):
        return 7

    def encode(self, *_):
        return b"loud"

    def __contains__(self, part):
        return False


class Count(int, enum.Enum):
    """Formats as `Count.THREE`, and not as its value."""

    THREE = 3


class Seconds(float, enum.Enum):
    TWO = 2.0


class Code(str, enum.Enum):  # noqa: UP042
    INT = "i"


SPELLED = [Named.REPORT, Loud("report")]


def another_client():
    """A session of its own, as another process has."""
    return redis.Redis.from_url(os.environ["REDIS_URL"])


@pytest.mark.parametrize("name", SPELLED, ids=["enum", "loud"])
@pytest.mark.parametrize(
    "make",
    [
        interlock.Lock,
        interlock.RLock,
        lambda **options: interlock.RWLock(**options).writer,
        lambda **options: interlock.Semaphore(1, **options),
        lambda **options: interlock.BoundedSemaphore(1, **options),
        interlock.Condition,
        lambda **options: interlock.Value("i", 0, **options),
        lambda **options: interlock.Array("i", 3, **options),
        lambda **options: interlock.Condition(interlock.Lock(**options), name="changed"),
    ],
    ids=[
        "Lock",
        "RLock",
        "RWLock",
        "Semaphore",
        "BoundedSemaphore",
        "Condition",
        "Value",
        "Array",
        "lock of a Condition",
    ],
)
def test_lock_named_by_a_kind_of_str_excludes_the_one_named_by_a_str(make, name):
    """Whoever holds under one spelling keeps out whoever asks under the other."""
    first, second = make(name=name), make(name="report", client=another_client())
    assert first.acquire()
    try:
        assert not second.acquire(False)
    finally:
        first.release()
    assert second.acquire(timeout=60)  # one that lingers gives back a little later
    second.release()
    for each in (first, second):
        if hasattr(each, "unlink"):
            each.unlink()
    interlock.close()  # gives back what lingers: the next test has this name for another kind


def test_two_hold_at_once_if_names_are_not_made_plain(monkeypatch):
    """The broken twin: what the test above would see without the guard."""
    monkeypatch.setattr(_arguments, "plain", lambda name: name)
    first, second = interlock.Lock(name=Named.REPORT, linger=0), interlock.Lock(name="report", client=another_client())
    with first:
        assert second.acquire(False)
        second.release()


@pytest.mark.parametrize("name", SPELLED, ids=["enum", "loud"])
def test_what_carries_state_has_it_under_either_spelling(name):
    """An event, a barrier, queues, a pipe, values: what one spelling leaves, the other finds."""
    event = interlock.Event(name=name)
    event.set()
    assert interlock.Event(name="report").is_set()
    event.unlink()
    barrier = interlock.Barrier(2, name=name)
    barrier.abort()
    assert interlock.Barrier(2, name="report").broken
    barrier.unlink()
    for kind in (interlock.Queue, interlock.JoinableQueue, interlock.SimpleQueue):
        queue = kind(name=name)
        queue.put("x")
        assert kind(name="report").get() == "x"
        queue.unlink()
    reader, _ = interlock.Pipe(name=name)
    _, writer = interlock.Pipe(name="report")
    writer.send("x")
    assert reader.recv() == "x"
    reader.unlink()
    for make in (interlock.RawValue, interlock.Value):
        value = make("i", 5, name=name)
        assert make("i", 0, name="report").value == 5
        value.unlink()
    for make in (interlock.RawArray, interlock.Array):
        array = make("i", [5], name=name)
        assert make("i", 1, name="report")[0] == 5
        array.unlink()


@pytest.mark.parametrize("name", SPELLED, ids=["enum", "loud"])
@pytest.mark.parametrize("kind", ["Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition"])
def test_lock_for_coroutines_excludes_the_one_for_threads_under_either_spelling(kind, name):
    async def holds():
        held = getattr(interlock.aio, kind)(name=name)
        async with held:
            return await asyncio.to_thread(getattr(interlock, kind)(name="report").acquire, False)

    assert asyncio.run(holds()) is False


def test_condition_for_coroutines_is_the_one_for_threads():
    """All conditions of one name with a lock of their own are one: `aio` notifies a thread that waits."""
    changed = interlock.Condition(name="changed")
    waits, outcome = threading.Event(), []

    def wait():
        with changed:
            waits.set()
            outcome.append(changed.wait(10))

    thread = threading.Thread(target=wait)
    thread.start()
    assert waits.wait(10)

    async def notify():
        there = interlock.aio.Condition(name="changed")
        async with there:
            await there.notify()

    asyncio.run(notify())
    thread.join(15)
    assert outcome == [True]


def test_name_is_a_plain_str_and_travels_as_one():
    for name in SPELLED:
        lock = interlock.Lock(name=name)
        assert type(lock.name) is str
        assert json.loads(json.dumps(lock.parameters()))["name"] == "report"
        assert type(interlock.Lock.attached(name=name, lease=30.0, linger=None).name) is str


def test_counts_and_times_of_other_kinds_are_plain_numbers():
    """A member of an enumeration stands for its number: in the process, in Redis and on its way."""
    slots = interlock.Semaphore(Count.THREE, name="slots", lease=Seconds.TWO, ttl=Count.THREE)
    assert slots.acquire(timeout=Seconds.TWO)
    assert interlock.Semaphore(3, name="slots").acquire(False)
    slots.release(2)
    slots.release(Count.THREE)
    slots.unlink()
    assert [type(each) for each in slots.parameters().values()] == [int, str, float, float]
    queue = interlock.Queue(Count.THREE, name="jobs")
    queue.put(1)
    assert interlock.Queue(3, name="jobs").get(timeout=Seconds.TWO) == 1
    queue.unlink()
    barrier = interlock.Barrier(Count.THREE, timeout=Seconds.TWO, name="line")
    barrier.abort()
    assert interlock.Barrier(3, name="line").broken
    barrier.unlink()
    assert [type(each) for each in barrier.parameters().values()] == [int, float, str, type(None)]
    value = interlock.Value(Code.INT, Count.THREE, name="count", linger=Seconds.TWO)
    value.add(Count.THREE)
    assert interlock.Value("i", name="count").value == 6
    value.unlink()
    array = interlock.Array(Code.INT, Count.THREE, name="row")
    array[Count.THREE - 1] = Count.THREE
    assert interlock.Array("i", 3, name="row")[:] == [0, 0, 3]
    array.unlink()
    changed = interlock.Condition()
    with changed:
        changed.notify(Count.THREE)


def test_count_of_a_wrong_type_is_refused():
    slots = interlock.Semaphore(2)
    with slots, pytest.raises(TypeError, match="n must be an int, not float"):
        slots.release(1.0)
    for wrong in (2.0, "2", True, None):
        with pytest.raises(TypeError, match="must be an int"):
            interlock.Semaphore(wrong)


@pytest.mark.parametrize("name", ["caf\udce9.txt", "\ud83d"])
def test_name_that_utf8_cannot_hold_is_refused_in_one_line(name):
    """As `os.listdir` returns them: refused where it enters, and not amid an acquire."""
    with pytest.raises(ValueError, match="name must be text that UTF-8 can hold") as caught:
        interlock.Lock(name=name)
    assert "\n" not in str(caught.value)
    str(caught.value).encode()


def test_prefix_that_utf8_cannot_hold_is_refused(monkeypatch):
    monkeypatch.setenv("INTERLOCK_PREFIX", "caf\udce9:")
    with pytest.raises(ValueError, match="INTERLOCK_PREFIX must"):
        interlock.Lock(name="x", client=another_client()).acquire()


def test_names_of_the_same_look_and_other_bytes_are_two():
    """What Unicode calls equivalent is not one name: bytes count."""
    composed, decomposed = interlock.Lock(name="caf\u00e9"), interlock.Lock(name="cafe\u0301")
    with composed:
        assert decomposed.acquire(False)
        decomposed.release()


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_name_has_one_spelling_whatever_the_clients_encoding(encoding):
    """Coroutines, calls that are sent again and plain ones spell a name alike."""
    url = os.environ["REDIS_URL"]
    lock = interlock.Lock(name="café", client=redis.Redis.from_url(url, encoding=encoding))

    async def others():
        client = redis.asyncio.Redis.from_url(url, encoding=encoding)
        try:
            return await interlock.aio.Lock(name="café", client=client).acquire(False)
        finally:
            await client.aclose()

    with lock:
        assert not asyncio.run(others())
        again = interlock.Lock(name="café", client=redis.Redis.from_url(url, encoding=encoding))
        session = again._session
        session.run(session.checked())
        key = lock._resource.state
        assert session.wire._again(("EXISTS", key)) == session.call("EXISTS", key) == 1


def test_encoding_of_redis_url_changes_no_name():
    """`?encoding=` in REDIS_URL, in a process of its own."""
    url = os.environ["REDIS_URL"] + "?" + urllib.parse.urlencode({"encoding": "latin-1"})
    code = (
        "import asyncio, interlock.aio\n"
        "print(interlock.Lock(name='café').acquire(False), asyncio.run(interlock.aio.Lock(name='café').acquire(False)))"
    )
    with interlock.Lock(name="café"):
        said = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "REDIS_URL": url},
            capture_output=True,
            text=True,
            check=True,
        )
    assert said.stdout == "False False\n"


@pytest.mark.parametrize("name", ["two\nlines", "nul\0", "a/b c:d*?[x]", "\u2028", "😀", "cond:x", "\\n"])
def test_any_name_works_and_is_found_by_inspect(name, client):
    """Ends of lines, zeros, spaces, slashes, wildcards: a name is one name, of a Condition too."""
    lock = interlock.Lock(name=name)
    changed = interlock.Condition(lock, name=name)
    value = interlock.Value("i", 0, name=name, lock=lock)
    for _ in range(3):
        with interlock.Lock(name=name, client=another_client()):
            pass
        with value.get_lock():
            value.value += 1
    assert value.value == 3
    thread = threading.Thread(target=lambda: _wait_for(changed))
    thread.start()
    try:
        wait_until(lambda: changed.statistics().waiters)
        client.set(b"interlock:{\xff}", "")
        client.hset(b"interlock:{\xfe}", "kind", "Lock")
        assert ("Condition", name) in {(each.kind, each.name) for each in interlock.inspect()}
        with lock:
            assert ("Lock", name) in {(each.kind, each.name) for each in interlock.inspect()}
            changed.notify()
    finally:
        client.delete(b"interlock:{\xff}", b"interlock:{\xfe}")
        thread.join(20)
    value.unlink()


def _wait_for(changed):
    with changed:
        changed.wait(15)
