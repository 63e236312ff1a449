"""A lock that lingers, between processes: exact counters, tokens that grow, and processes that end."""

import os
import signal

import pytest
import redis
from lingering import count, lock_of_its_own
from peers import joined, peers, plain, wait_until

import interlock

pytestmark = pytest.mark.usefixtures("nothing_lost_is_left_to_be_told")


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_counter_of_many_processes_is_exact(start):
    value = interlock.Value("i", 0, linger=None)
    with peers(count, [(value, 20_000, step) for step in (1, -1, 3)], start=start) as processes:
        joined(processes)
    assert value.value == 60_000


@pytest.mark.parametrize("twin", [None, "grants_though_held"])
def test_counter_is_not_exact_when_two_hold(twin):
    value = interlock.Value("i", 0, linger=None)
    with peers(count_and_say, [(value, 60_000)] * 3, twin) as processes:
        for process in processes:
            process.join(60)
    exact = value.value == 180_000 and all(process.exitcode == 0 for process in processes)
    assert exact == (twin is None)


def count_and_say(value, times):
    with plain() as note:
        note.incr("ready")
        wait_until(lambda: int(note.get("ready")) == 3)
    count(value, times, 1)


def note_tokens(lock, times):
    tokens = []
    for _ in range(times):
        with lock:
            tokens.append(lock.token)
    with plain() as note:
        note.rpush("tokens", *tokens)


def test_tokens_of_all_entries_of_all_processes_differ_and_grow_within_each(client):
    lock = interlock.Lock(linger=0.02)
    with peers(note_tokens, [(lock, 3000)] * 3) as processes:
        joined(processes)
    tokens = [int(token) for token in client.lrange("tokens", 0, -1)]
    assert len(set(tokens)) == 9000
    for first in range(0, 9000, 3000):
        mine = tokens[first : first + 3000]
        assert mine == sorted(mine)


def test_clock_of_the_tokens_does_not_run_away(client):
    """Each grant reserves a block of tokens; what is not used of it is given back."""
    lock = interlock.Lock(linger=0.02)
    other = lock_of_its_own(lock.name, linger=0.02)
    for _ in range(10):
        for each in (lock, other):
            with each:
                token = each.token
    seconds, microseconds = client.time()
    assert token < seconds * 1_000_000 + microseconds + 1_000_000


def hold_and_be_forked(lock):
    with lock:
        pass
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        taken = lock.acquire(timeout=20)
        os.write(write, b"1" if taken else b"0")
        lock.release()
        interlock.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 1) == b"1"


def test_child_of_a_process_that_lingers_gets_the_lock_by_asking():
    lock = interlock.Lock(linger=0.02)
    with peers(hold_and_be_forked, [(lock,)]) as processes:
        joined(processes)


def linger_and_die(lock):
    with lock:
        pass
    with plain() as note:
        note.rpush("entered", 1)
    os.kill(os.getpid(), signal.SIGKILL)


def test_process_that_is_killed_while_it_lingers_costs_a_lease(client):
    lock = interlock.Lock(lease=1.5, linger=0.02)
    with peers(linger_and_die, [(lock,)]) as (process,):
        process.join(30)
        assert lock.acquire(timeout=10)
        lock.release()


def linger_to_the_end(value):
    with value.get_lock():
        value.value += 1


def test_process_that_ends_in_order_has_committed_and_given_back(client):
    value = interlock.Value("i", 0, linger=10)
    with peers(linger_to_the_end, [(value,)]) as processes:
        joined(processes)
        assert value.value == 1
        assert interlock.RLock(name=value.name, client=client).acquire(timeout=1)


def linger_with_a_client_that_is_collected(name):
    client = redis.Redis.from_url(os.environ["REDIS_URL"])
    linger_to_the_end(interlock.Value("i", 0, name=name, client=client, linger=10, ttl=60))


def test_process_whose_client_was_collected_has_committed_and_given_back(client):
    value = interlock.Value("i", 0, linger=0, name="collected", ttl=60)
    with peers(linger_with_a_client_that_is_collected, [("collected",)]) as processes:
        joined(processes)
        assert value.get_lock().acquire(timeout=5)
    assert value.value == 1
    value.get_lock().release()
