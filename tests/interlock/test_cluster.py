"""On a Redis Cluster of three nodes: what passes while one node serves all slots may fail when it does not."""

import asyncio
import gc
import os
import signal
import threading
import time

import pytest
import redis
import redis.asyncio
from cluster import Cluster
from cluster_kinds import KINDS, meanwhile, waits
from mutants import twins
from peers import listening, peers, replicated, wait_until
from redis.cluster import RedisCluster

import interlock
from interlock import aio
from interlock._io.wire import CONNECTIONS_MAX
from interlock._session.process import session

TURNS = range(3)  # the nodes, by number


@pytest.fixture(scope="module")
def three():
    with Cluster(3) as up:
        yield up


@pytest.fixture(scope="module")
def pair(three):
    """Two clients of the Cluster, with a session each."""
    clients = three.client(), three.client()
    yield clients
    for each in clients:
        session(each).close()


@pytest.fixture(autouse=True)
def no_key_left_on_the_cluster(three):
    yield
    left = three.keys()
    three.flush()
    assert all(0 <= ms <= 86_400_000 for ms in left.values()), f"left for ever: {left}"


@pytest.fixture
def at_a_node(three, monkeypatch):
    """`REDIS_URL` names one node, and does not say that it is one of a Cluster's."""
    monkeypatch.setenv("REDIS_URL", three.primaries[1].url)
    yield
    gc.collect()


# --- every kind, with contention and a hand-over between two sessions ---


@pytest.mark.parametrize("number", TURNS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_works_with_a_name_on_each_node(three, pair, kind, number):
    KINDS[kind](three.name_on(three.primaries[number], kind), *pair)


def test_inspect_sees_the_names_on_all_nodes(three, pair):
    names = [three.name_on(node) for node in three.primaries]
    for name in names:
        interlock.Lock(name=name, client=pair[0]).acquire()
    assert [each.name for each in interlock.inspect(pair[1])] == sorted(names)
    for name in names:
        interlock.Lock(name=name, client=pair[1]).break_lock()
        with pytest.raises(interlock.LeaseLostError):
            interlock.Lock(name=name, client=pair[0]).release()


# --- what a count of listeners is worth ---


def listens_at(cluster, client):
    """The node at which a session's listener has subscribed."""
    channel = f"interlock:session:{session(client).id}"
    return next(node for node in cluster.primaries if node.client.pubsub_numsub(channel)[0][1])


def listening_client(cluster, number):
    """A client whose session listens already, at the node of that number as redis-py counts them."""
    client = cluster.client()
    session(client).wire._turn = number
    listening(session(client))
    return client


@pytest.mark.parametrize(
    ("nodes", "twin", "in_order"), [(3, None, True), (3, "trusts_the_count", False), (1, "trusts_the_count", True)]
)
def test_who_listens_at_another_node_is_served_in_turn(three, nodes, twin, in_order):
    cluster = three if nodes == 3 else Cluster(1)
    try:
        with twins.in_force(twin):
            holder, far, near = (listening_client(cluster, number) for number in (0, 1, 2))
            name = cluster.name_on(listens_at(cluster, near))
            assert nodes == 1 or cluster.node_of(name) is not listens_at(cluster, far)
            locks = [interlock.Lock(name=name, client=each) for each in (holder, far, near)]
            order = []

            def enter(mark, lock):
                try:
                    with lock:
                        order.append(mark)
                except interlock.LeaseLostError:
                    order.append(f"{mark} had nothing")

            with locks[0]:
                threads = []
                for n, (mark, lock) in enumerate(zip(("first", "second"), locks[1:], strict=True), 1):
                    threads.append(threading.Thread(target=enter, args=(mark, lock)))
                    threads[-1].start()
                    waits(lock, n)
            for thread in threads:
                thread.join(20)
            for each in (holder, far, near):
                session(each).close()
    finally:
        if nodes == 1:
            cluster.close()
    assert {"first", "second"} <= set(order)
    assert (order == ["first", "second"]) == in_order


# --- many, long, dead ---


def test_two_hundred_threads_wait_on_one_lock_with_few_connections(three):
    client, lone = three.client(), three.client()
    name = three.name_on(three.primaries[2])
    inside, counts = [], []
    lock = interlock.Lock(name=name, client=client)

    def enter():
        with lock:
            inside.append(1)
            counts.append(len(inside))
            inside.pop()

    gate = interlock.Lock(name=name, client=lone)
    threads = [threading.Thread(target=enter) for _ in range(200)]
    with gate:
        before = len(three.primaries[2].client.client_list())
        for thread in threads:
            thread.start()
        waits(gate, 200)
        assert len(three.primaries[2].client.client_list()) - before <= CONNECTIONS_MAX + 8
    for thread in threads:
        thread.join(60)
    assert counts == [1] * 200
    session(client).close()
    session(lone).close()


def test_leases_on_all_nodes_are_renewed_for_as_long_as_they_are_held(three, pair):
    locks = [interlock.Lock(name=three.name_on(node), client=pair[0], lease=1.0) for node in three.primaries]
    for lock in locks:
        lock.acquire()
    until = time.monotonic() + 3 * 1.0
    tokens = [lock.token for lock in locks]
    wait_until(lambda: all(lock.deadline > until for lock in locks), what="renewal past three leases")
    assert not any(lock.lost for lock in locks)
    assert [lock.token for lock in locks] == tokens
    for lock in locks:
        lock.release()


def wait_in_threads(name, n):
    """So many threads wait for a lock, for ever."""
    threads = [threading.Thread(target=interlock.Lock(name=name).acquire) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_killed_process_of_waiters_delays_by_a_claim_and_a_reask(three, pair, at_a_node):
    name = three.name_on(three.primaries[0])
    lock, mine = (interlock.Lock(name=name, client=each) for each in pair)
    lock.acquire()
    with peers(wait_in_threads, [(name, 20)]) as (process,):
        waits(lock, 20)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        entered = meanwhile(lambda: mine.acquire(timeout=20) and time.monotonic())
        waits(lock, 21)
        lock.release()
        released = time.monotonic()
        assert entered.result(30) - released < 15, "20 claims, or a lease, would be longer"
        mine.release()


def give_to(name, value_name, mark):
    """Add to a value under its lock."""
    lock = interlock.Lock(name=name)
    value = interlock.Value("q", 0, name=value_name, lock=lock)
    for _ in range(10):
        with lock:
            value.value += mark


@pytest.mark.parametrize("start", ["spawn", "fork"])
def test_processes_attach_by_the_address_of_one_node(three, pair, at_a_node, start):
    name = three.name_on(three.primaries[2])
    value = interlock.Value("q", 0, name=f"{name}-sum", lock=interlock.Lock(name=name, client=pair[0]))
    with peers(give_to, [(name, value.name, mark) for mark in (1, 100)], start=start) as processes:
        for process in processes:
            process.join(60)
            assert process.exitcode == 0
    assert value.value == 1010
    value.unlink()


def test_plain_client_of_a_node_is_taken_for_its_cluster(three):
    client = redis.Redis(port=three.primaries[0].port, decode_responses=True)
    for node in three.primaries:
        with interlock.Lock(name=three.name_on(node), client=client) as held:
            assert held
    assert session(client).id.endswith("C")
    session(client).close()


def test_session_ends_with_its_client_of_the_cluster(three):
    client = three.client()
    with interlock.Lock(name=three.name_on(three.primaries[0]), client=client):
        own = session(client)
    client.close()
    assert not own.heartbeat.ended
    del client
    gc.collect()
    wait_until(lambda: own.heartbeat.ended, what="the end of the session")


def test_one_primary_that_may_evict_locks_is_named(three):
    three.primaries[1].client.config_set("maxmemory-policy", "volatile-lru")
    try:
        expected = rf"{three.primaries[1].port} may evict locks: set maxmemory-policy to noeviction"
        with pytest.raises(interlock.InterlockError, match=expected):
            interlock.Lock(client=three.client()).acquire()
    finally:
        three.primaries[1].client.config_set("maxmemory-policy", "noeviction")


def test_node_that_is_stopped_costs_no_lease_on_the_others(three):
    client = RedisCluster("127.0.0.1", three.primaries[1].port, socket_timeout=0.5, socket_connect_timeout=0.5)
    for node in three.primaries:
        node.client.config_set("cluster-require-full-coverage", "no")
    stopped = three.primaries[0]
    locks = [interlock.Lock(name=three.name_on(node), client=client, lease=3.0) for node in three.primaries]
    for lock in locks:
        lock.acquire()
    try:
        stopped.child.process.send_signal(signal.SIGSTOP)
        ends = [lock.deadline for lock in locks]
        wait_until(lambda: locks[0].lost, what="the end of the lease at the node that is stopped")
        wait_until(lambda: all(lock.deadline > end + 3 for lock, end in zip(locks[1:], ends[1:], strict=True)))
        assert not any(lock.lost for lock in locks[1:])
    finally:
        stopped.child.process.send_signal(signal.SIGCONT)
    for lock in locks[1:]:
        lock.release()
    wait_until(lambda: "cluster_state:ok" in stopped.said(), what="a Cluster of all nodes")
    with pytest.raises(interlock.LeaseLostError):
        locks[0].release()
    session(client).close()


# --- the Cluster changes ---


def test_slot_that_moves_takes_its_lock_along(three, pair):
    source, target = three.primaries[0], three.primaries[1]
    name = three.name_on(source, "moving")
    slot = RedisCluster.keyslot(pair[0], f"{{{name}}}")
    lock, other = (interlock.Lock(name=name, client=each) for each in pair)
    value = interlock.Value("i", 1, name=f"{name}-v", lock=lock)
    lock.acquire()
    value.value = 2
    entered = meanwhile(lambda: other.acquire(timeout=20) and other.token)
    waits(lock)
    target.client.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", source.id)
    source.client.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", target.id)
    while keys := source.client.execute_command("CLUSTER GETKEYSINSLOT", slot, 100):
        source.client.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
    for node in (target, source, three.primaries[2]):
        node.client.execute_command("CLUSTER SETSLOT", slot, "NODE", target.id)
    token = lock.token
    lock.release()
    assert entered.result(20) > token
    other.release()
    assert value.value == 2
    value.unlink()


@pytest.fixture(scope="module")
def with_replica():
    with Cluster(3, replica=True) as up:
        yield up


def test_killed_primary_is_followed_to_its_replica(with_replica):
    first, *others, replica = with_replica.nodes
    clients = [listening_client(with_replica, number) for number in TURNS]
    names = [with_replica.name_on(node) for node in (first, others[0])]
    locks = [interlock.Lock(name=name, client=clients[0]) for name in names]
    deaf = next(each for each in clients if listens_at(with_replica, each) is first)
    theirs = [interlock.Lock(name=name, client=deaf) for name in names]
    for lock in locks:
        lock.acquire()
    entered = [meanwhile(lambda each=each: each.acquire(timeout=30) and each.token) for each in theirs]
    for lock in locks:
        waits(lock)
    replicated(first.client, replica.client)
    first.kill()
    # on a node that lives, the hand-over goes on though the waiter listened at the one that died
    locks[1].release()
    assert entered[1].result(10) > 0
    wait_until(lambda: with_replica.role(replica) == "master", what="the failover")
    token = locks[0].token

    def released():
        try:
            locks[0].release()
        except redis.ConnectionError:
            return False
        return True

    wait_until(released, what="a release at the new primary")
    assert entered[0].result(20) > token
    for lock in theirs:
        lock.release()
    for each in clients:
        session(each).close()


def test_coroutines_use_it_as_threads_do(three, pair):
    """With a client of their own, and with the address of one node."""

    async def main(own):
        for name in (three.name_on(node) for node in three.primaries):
            lock = aio.Lock(name=name, client=own)
            async with lock:
                assert not await aio.Lock(name=name, client=own).acquire(blocking=False)
                tasks = [asyncio.create_task(lock.acquire()) for _ in range(3)]
                async with asyncio.timeout(10):
                    while len((await lock.statistics()).waiters) < 3:
                        await asyncio.sleep(0.01)
                tasks[0].cancel()
            async with asyncio.timeout(10):
                for entered in asyncio.as_completed(tasks[1:]):
                    await entered
                    await lock.release()
            jobs = aio.Queue(name=f"{name} jobs", client=own, ttl=60)
            await jobs.put(name)
            assert await interlock_get(name) == name
            counter = await aio.Value("i", 1, name=f"{name} count", client=own)
            async with counter.get_lock():
                await counter.set(await counter.get() + 1)
            assert await counter.get() == 2
            await counter.unlink()

    async def interlock_get(name):
        return await asyncio.to_thread(interlock.Queue(name=f"{name} jobs", client=pair[0], ttl=60).get)

    async def with_a_client():
        node = three.primaries[0]
        own = redis.asyncio.RedisCluster(host="127.0.0.1", port=node.port)
        await main(own)
        await own.aclose()

    asyncio.run(with_a_client())


def test_coroutines_find_it_by_the_address_of_one_node(three, at_a_node):
    async def main():
        for name in (three.name_on(node) for node in three.primaries):
            async with aio.Lock(name=name) as held:
                assert held

    asyncio.run(main())
