"""`Value.add`: exact beside sections, also of who holds or lingers meanwhile; and nobody waits for the lock."""

import multiprocessing
import os
import pickle
import threading

import pytest
import redis
from mutants import twins
from peers import SPAWN, joined, wait_until

import interlock
from interlock._protocol import scripts
from interlock._session.process import session
from interlock.value import CTYPES

STRICT, LINGERS = 0.0, 10.0


def elsewhere(value):
    """The same value, as another session of this process has it."""
    attached = pickle.loads(pickle.dumps(value))
    attached._client = attached.get_lock()._client = redis.Redis.from_url(os.environ["REDIS_URL"])
    return attached


@pytest.mark.parametrize("typecode", sorted(set(CTYPES) - {"c", "u", "?"}))
def test_sum_is_what_c_has(typecode):
    twin, value = multiprocessing.Value(typecode, 100), interlock.Value(typecode, 100)
    for n in (27, 1, -1, 2**31, 2**63 - 5, 2**63, 2**64 + 5, -(2**62) - 7, -(2**40)):
        twin.value += n
        assert value.add(n) is None
        assert value.value == twin.value
        assert type(value.value) is type(twin.value)


def test_fractions_are_added_to_types_that_have_them():
    value = interlock.Value("d", 0.5)
    value.add(0.1)
    value.add(-2)
    assert value.value == 0.5 + (0.1 - 2)
    with pytest.raises(TypeError):
        interlock.Value("i").add(0.5)


@pytest.mark.parametrize(("typecode", "n"), [("c", b"x"), ("u", "x"), ("?", True), ("i", "1"), ("d", None)])
def test_what_cannot_be_added_is_refused(typecode, n):
    value = interlock.Value(typecode)
    before = value.value
    with pytest.raises(TypeError):
        value.add(n)
    assert value.value == before


def test_value_that_is_gone_is_told(client):
    value = interlock.Value("i", 1)
    value.unlink()
    with pytest.raises(interlock.GoneError):
        value.add(1)
    assert list(client.scan_iter(f"*{value.name}*value*")) == []


def test_it_is_one_round_trip_without_the_lock_and_none_under_it(client):
    value = interlock.Value("i", linger=STRICT)
    value.add(1)
    before = client.info("commandstats")["cmdstat_evalsha"]["calls"]
    value.add(1)
    assert client.info("commandstats")["cmdstat_evalsha"]["calls"] == before + 1
    with value.get_lock():
        value.add(1)
        assert value.value == 3
        value.add(1)
    assert client.info("commandstats")["cmdstat_evalsha"]["calls"] == before + 3, "to acquire and to release"
    assert value.value == 4


@pytest.mark.parametrize("twin", [None, "overwrites_what_was_added", "adds_what_the_holder_has_seen"])
@pytest.mark.parametrize("linger", [STRICT, LINGERS])
def test_what_is_added_while_another_holds_is_added_to_what_that_one_writes(linger, twin):
    """And the holder sees one value through its section, others at once what is added."""
    value = interlock.Value("q", 1, linger=linger)
    other = elsewhere(value)
    with twins.in_force(twin):
        value.add(100)  # while nobody holds: the holder is to see it once
        with value.get_lock():
            read = value.value
            other.add(2**62)
            assert other.value == 101 + 2**62
            other.add(20)
            assert value.value == read
            value.value = read * 2
        with other.get_lock():
            seen = other.value
    assert (seen == 202 + 2**62 + 20) == (twin is None)
    assert (value.value == 202 + 2**62 + 20) == (twin is None)


def test_what_is_added_is_kept_through_all_commits_of_one_who_lingers():
    value = interlock.Value("i", 0, linger=LINGERS)
    other = elsewhere(value)
    for n in range(1, 4):
        with value.get_lock():
            value.value += 1
        if n == 1:
            other.add(10)
        interlock.flush()
        assert other.value == 10 + n
    with other.get_lock():
        assert other.value == 13


def test_who_lingers_and_never_pauses_sees_in_the_end_what_is_added():
    value = interlock.Value("i", 0, linger=0.05)
    other, seen = elsewhere(value), []

    def look():
        while not (seen and seen[-1]):
            with value.get_lock():
                seen.append(value.value)

    looking = threading.Thread(target=look)
    looking.start()
    wait_until(lambda: len(seen) > 100, what="its looks")
    other.add(1)
    looking.join(5)
    assert not looking.is_alive()


def test_what_is_added_outlives_a_holder_that_loses_its_lease():
    value = interlock.Value("i", 1, linger=STRICT)
    other = elsewhere(value)
    value.get_lock().acquire()
    value.value = 50
    other.add(5)
    other.get_lock().break_lock()
    with pytest.raises(interlock.LeaseLostError):
        value.get_lock().release()
    assert other.value == 6


@pytest.mark.parametrize("twin", [None, "forgets_that_it_added"])
def test_call_sent_twice_adds_once(twin):
    value, own = interlock.Value("i", 0), session(None)
    call = own.holdings.new_id()
    with twins.in_force(twin):
        for _ in range(2):
            own.run(
                scripts.add(value._lock._resource, call=call, value=value._key, step="00000001".zfill(16), ttl_ms=None)
            )
    assert (value.value == 1) == (twin is None)


def add_often(value, times):
    for _ in range(times):
        value.add(1)


def add_under_the_lock(value, times):
    for _ in range(times):
        with value.get_lock():
            value.value -= 1


@pytest.mark.parametrize("linger", [STRICT, None])
def test_sum_of_many_processes_is_exact(linger):
    value = interlock.Value("q", 0, name="added", ttl=60, linger=linger)
    processes = [SPAWN.Process(target=work, args=(value, 300)) for work in [add_often, add_under_the_lock] * 2]
    for process in processes:
        process.start()
    joined(processes)
    assert value.value == 0
    value.unlink()


def test_ttl_is_put_off(client):
    value = interlock.Value("i", 0, name="brief", ttl=50)
    client.expire(value._key, 10)
    value.add(1)
    assert client.ttl(value._key) > 40
    value.unlink()
