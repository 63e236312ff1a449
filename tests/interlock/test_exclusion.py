"""Invariants 1 to 3: who may be inside, under which token, in which order. Each check fails on a broken twin."""

import time

import pytest
from mutants import twins
from peers import go_through, joined, pass_through, peers, wait_until

import interlock


@pytest.mark.parametrize("start", ["spawn", "fork"])
@pytest.mark.parametrize("twin", [None, "grants_though_held"])
@pytest.mark.parametrize("kind", [interlock.Lock, interlock.RLock])
def test_lock_taken_by_four_processes_admits_one_at_a_time(client, kind, twin, start):
    lock = kind()
    with peers(go_through, [(lock, 4, 25, 0.002)] * 4, twin, start) as processes:
        joined(processes)
    seen = [int(inside) for inside in client.lrange("seen", 0, -1)]
    assert len(seen) == 100
    assert (max(seen) == 1) == (twin is None)


@pytest.mark.parametrize("start", ["spawn", "fork"])
@pytest.mark.parametrize("twin", [None, "one_permit_too_many"])
@pytest.mark.parametrize("kind", [interlock.Semaphore, interlock.BoundedSemaphore])
def test_semaphore_of_three_taken_by_six_processes_admits_three(client, kind, twin, start):
    slots = kind(3)
    with peers(go_through, [(slots, 6, 15, 0.01)] * 6, twin, start) as processes:
        joined(processes)
    seen = [int(inside) for inside in client.lrange("seen", 0, -1)]
    assert max(seen) > 1, "never two at once: the test shows nothing"
    assert (max(seen) <= 3) == (twin is None)


@pytest.mark.parametrize("twin", [None, "tokens_stand_still"])
def test_tokens_grow_strictly_in_order_of_entry(client, twin):
    lock = interlock.Lock()
    with peers(go_through, [(lock, 3, 25, 0.0)] * 3, twin) as processes:
        joined(processes)
    tokens = [int(token) for token in client.lrange("tokens", 0, -1)]
    assert len(tokens) == 75
    assert (tokens == sorted(set(tokens))) == (twin is None)


@pytest.mark.parametrize("twin", [None, "tokens_from_a_counter_alone"])
def test_tokens_grow_also_when_redis_lost_the_lock(client, twin):
    lock = interlock.Lock()
    with twins.in_force(twin):
        with lock:
            first = lock.token
        client.flushdb()
        with lock:
            second = lock.token
    assert (second > first) == (twin is None)


def test_tokens_grow_also_when_the_servers_clock_stepped_back(client):
    lock = interlock.Lock()
    ahead = time.time_ns() // 1000 + 10**9
    with lock:
        client.hset(f"interlock:{{{lock.name}}}", "clock", ahead)
    with lock:
        assert lock.token == ahead + 1


@pytest.mark.parametrize("twin", [None, "last_come_first_served"])
def test_waiting_processes_are_served_in_order_of_arrival(client, twin):
    lock = interlock.Lock()
    lock.acquire()
    waiting = []
    for mark in range(5):
        waiting.append(peers(pass_through, [(lock, mark)], twin))
        waiting[-1].__enter__()
        wait_until(lambda n=mark: len(lock.statistics().waiters) == n + 1, what="queueing")
    lock.release()
    try:
        wait_until(lambda: client.llen("entered") == 5, what="five entries")
    finally:
        for each in waiting:
            each.__exit__(None, None, None)
    assert (client.lrange("entered", 0, -1) == list("01234")) == (twin is None)


def test_a_process_that_releases_and_asks_again_comes_after_who_waits(client):
    lock = interlock.Lock()
    lock.acquire()
    with peers(pass_through, [(lock, "waiter")]) as processes:
        wait_until(lambda: lock.statistics().waiters)
        lock.release()
        with lock:
            client.rpush("entered", "again")
        joined(processes)
    assert client.lrange("entered", 0, -1) == ["waiter", "again"]
