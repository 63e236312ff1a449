"""Value and RawValue as their twins in multiprocessing, and what is ours."""

import ctypes
import json
import multiprocessing
import pickle

import pytest
from kombu.serialization import dumps, loads
from peers import SPAWN, joined

import interlock
from interlock.value import CTYPES


@pytest.mark.parametrize("typecode", sorted(set(CTYPES) - {"c", "u", "?"}))
@pytest.mark.parametrize("number", [0, 1, -1, 127, 128, 2**31, 2**63, 2**64 + 5, -(2**40)])
def test_numbers_are_held_as_the_c_type_holds_them(typecode, number):
    twin, value = multiprocessing.Value(typecode, number), interlock.Value(typecode, number)
    assert value.value == twin.value
    assert type(value.value) is type(twin.value)


def test_floats_and_characters_are_held_as_the_c_type_holds_them():
    assert interlock.Value("f", 0.1).value == multiprocessing.Value("f", 0.1).value
    assert interlock.Value(ctypes.c_double, 0.1).value == 0.1
    assert interlock.Value("c", b"\xe9").value == b"\xe9"
    assert interlock.Value("u", "λ").value == "λ"
    assert interlock.Value("d").value == 0.0


def test_what_the_type_cannot_hold_is_refused():
    with pytest.raises(TypeError):
        interlock.Value("i", "one")
    value = interlock.Value("i", 1)
    with pytest.raises(TypeError):
        value.value = 1.5
    with pytest.raises(TypeError, match="typecode must be one of"):
        interlock.Value("z", 1)
    assert value.value == 1


def test_write_is_seen_by_others_when_the_section_ends():
    value = interlock.Value("q", 1)
    elsewhere = pickle.loads(pickle.dumps(value))
    with value.get_lock():
        value.value += 1
        assert value.value == 2
        with SPAWN.Pool(1) as pool:
            assert pool.apply(_read, (value,)) == 1, "what was committed last"
    assert elsewhere.value == 2


def _read(value):
    return value.value


@pytest.mark.parametrize("kind", [interlock.Lock, interlock.RLock])
def test_values_that_share_a_lock_are_stored_together(kind):
    lock = kind()
    first, second = interlock.Value("i", 1, lock=lock), interlock.Value("i", 2, lock=lock)
    assert first.get_lock() is lock
    with lock:
        first.value, second.value = second.value, first.value
    assert (first.value, second.value) == (2, 1)


def test_none_of_the_values_is_stored_if_one_is_gone():
    lock = interlock.Lock()
    first, second = interlock.Value("i", 1, lock=lock), interlock.Value("i", 2, lock=lock)
    lock.acquire()
    first.value = second.value = 7
    second.unlink()
    with pytest.raises(interlock.GoneError):
        lock.release()
    assert first.value == 1
    assert not lock.locked()


def test_write_without_the_lock_takes_it():
    value = interlock.Value("i", 0, lock=interlock.Lock())
    value.value = 3
    assert value.value == 3
    assert not value.get_lock().locked()


def test_counter_updated_under_its_lock_by_processes_is_exact():
    value = interlock.Value("i", 0)
    processes = [SPAWN.Process(target=_add, args=(value, step)) for step in (1, -1, 2)]
    for process in processes:
        process.start()
    joined(processes)
    assert value.value == 100 * 2


def _add(value, step):
    for _ in range(100):
        with value.get_lock():
            value.value += step


def test_attached_value_that_is_gone_is_an_error_and_not_a_fresh_zero():
    value = interlock.Value("i", 5)
    arrived = pickle.loads(pickle.dumps(value))
    value.unlink()
    with pytest.raises(interlock.GoneError):
        _ = arrived.value
    with pytest.raises(interlock.GoneError):
        arrived.value = 1
    raw = interlock.Value("i", 5, lock=False)
    raw.unlink()
    with pytest.raises(interlock.GoneError):
        raw.value = 1


def test_value_without_lock_is_a_raw_value():
    raw = interlock.Value("i", 5, lock=False)
    assert type(raw) is interlock.RawValue
    raw.value += 1
    assert raw.value == 6


def test_named_value_lasts_and_is_found_again_with_what_it_holds(client):
    value = interlock.Value("i", 5, name="kept")
    assert client.pttl(value._key) == -1
    assert interlock.Value("i", 0, name="kept").value == 5
    with pytest.raises(interlock.NameTakenError, match="type code"):
        interlock.Value("d", 0, name="kept")
    value.unlink()


def test_unnamed_value_and_one_with_a_ttl_expire_after_their_last_use(client):
    value, short = interlock.Value("i", 5), interlock.Value("i", 5, name="short", ttl=60)
    assert 0 < client.pttl(value._key) <= 86_400_000
    client.pexpire(short._key, 1000)
    _ = short.value
    assert client.pttl(short._key) > 50_000
    client.pexpire(short._key, 1000)
    short.value = 6
    assert client.pttl(short._key) > 50_000


@pytest.mark.parametrize(
    "make",
    [
        lambda: interlock.Lock(lease=5),
        interlock.RLock,
        lambda: interlock.Semaphore(3),
        lambda: interlock.BoundedSemaphore(2, lease=7.5),
        lambda: interlock.Value("q", 1),
        lambda: interlock.Value("d", 1, lock=interlock.Lock(lease=9)),
        lambda: interlock.RawValue("i", 1, ttl=100),
    ],
)
def test_primitives_pass_through_pickle_and_json_by_name(make):
    interlock.register_with_kombu()
    thing = make()
    content_type, encoding, data = dumps({"args": [thing]}, serializer="json")
    for arrived in (pickle.loads(pickle.dumps(thing)), loads(data, content_type, encoding)["args"][0]):
        assert type(arrived) is type(thing)
        assert arrived.parameters() == thing.parameters()
    assert "redis" not in data
    json.loads(data)


def test_raw_value_does_not_reach_a_value_of_the_same_name():
    value = interlock.Value("i", 1, name="one", ttl=60)
    interlock.RawValue("i", 5, name="one", ttl=60).value = 7
    assert value.value == 1


def test_half_a_surrogate_pair_is_refused_where_it_is_written():
    value = interlock.Value("u", "x")
    with value.get_lock(), pytest.raises(UnicodeEncodeError):
        value.value = "\ud800"
    assert value.value == "x"


def test_bool_and_types_that_are_one_type_here_are_told_apart_by_type():
    assert interlock.Value(ctypes.c_bool, 1).value is True
    interlock.Value("q", 1, name="alias", ttl=60)
    if ctypes.c_long is ctypes.c_longlong:
        assert interlock.Value("l", 0, name="alias", ttl=60).value == 1


@pytest.mark.parametrize("lock", [False, True])
def test_exchange_returns_what_it_replaces(lock):
    value = interlock.Value("i", 1, lock=lock)
    assert value.exchange(2) == 1
    assert value.value == 2
    if lock:
        with value.get_lock():
            value.value = 3
            assert value.exchange(4) == 3
        assert value.value == 4
    value.unlink()
    with pytest.raises(interlock.GoneError):
        value.exchange(5)


def test_without_a_lock_what_is_said_of_the_lock_is_left_aside():
    raw = interlock.Value("i", 1, lock=False, lease=5, linger=None)
    assert type(raw) is interlock.RawValue
