"""`interlock.in_use`: who holds and waits, from the names that processes tell of, without a scan of the keys."""

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import redis
from cluster import Cluster
from peers import hold, pass_through, peers, wait_until

import interlock
from interlock import in_use
from interlock._io.wire import Outbox
from interlock._protocol import name_scripts, scripts
from interlock._session import registry
from interlock._session.process import session

NAMES = name_scripts.key("")


def found(name, client=None):
    """What a look at all finds of one name; None if it finds nothing."""
    return next((each for each in in_use.look_at_all(client).in_use if each.name == name), None)


def test_lock_shows_within_two_seconds_of_its_first_use_with_holder_and_waiters_in_order(client):
    lock = interlock.Lock(name="watched <script>")
    with peers(hold, [(lock, "holder")]) as (holder,):
        client.blpop("entered", timeout=60)
        began = time.monotonic()
        seen = wait_until(lambda: found(lock.name), what="the lock")
        assert time.monotonic() - began < 2.0
        with peers(pass_through, [(lock, "first")]) as (first,):
            wait_until(lambda: found(lock.name).waiting == 1)
            with peers(pass_through, [(lock, "second")]) as (second,):
                seen = wait_until(lambda: (each := found(lock.name)).waiting == 2 and each)
                assert [each.process.rpartition(":")[2] for each in seen.waiters] == [str(first.pid), str(second.pid)]
                assert seen.waiters[0].seconds > seen.waiters[1].seconds >= 0
                (held,) = seen.holders
                assert held.process.endswith(f":{holder.pid}")
                assert held.task == ""
                assert held.token == lock.statistics().holders[0].token
                assert 0 < held.seconds < 120
                assert 20 < held.remaining <= 30
                assert in_use.take_away(lock.name) == 1
                wait_until(lambda: found(lock.name) is None, what="the end of all")


def test_task_of_a_holder_is_known_and_whether_it_lingers():
    lock = interlock.Lock(linger=5.0)
    with interlock.acting_for("11-22", "tasks.with [brackets]"):
        for _ in range(3):
            with lock:
                pass
        with lock:
            (held,) = wait_until(lambda: found(lock.name)).holders
    assert (held.task, held.lingers) == ("11-22", True)
    interlock.close()


@contextmanager
def in_thread(call, stop):
    """A call that waits, in a thread, and what ends the wait."""
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(call)
        try:
            yield
        finally:
            stop()
            ended.result(30)


def test_waiters_of_every_kind_show(client):
    condition, event, barrier = interlock.Condition(), interlock.Event(), interlock.Barrier(2)
    queue, full = interlock.JoinableQueue(), interlock.Queue(1)
    full.put(1)

    def wait_for_notification():
        with condition:
            condition.wait(60)

    def notify():
        with condition:
            condition.notify()

    for thing, kind, call, stop in (
        (condition, "Condition", wait_for_notification, notify),
        (event, "Event", lambda: event.wait(60), event.set),
        (barrier, "Barrier", lambda: barrier.wait(60), lambda: barrier.wait(60)),
        (queue, "JoinableQueue", lambda: queue.get(timeout=60), lambda: queue.put(1)),
        (full, "Queue", lambda: full.put(2, timeout=60), full.get),
    ):
        with in_thread(call, stop):
            seen = wait_until(
                lambda thing=thing, kind=kind: [
                    each for each in in_use.look_at_all().in_use if (each.kind, each.name) == (kind, thing.name)
                ],
                what=kind,
            )
            assert [(each.waiting, len(each.waiters), each.holding) for each in seen] == [(1, 1, 0)]
            assert not seen[0].breakable
    for thing in (event, barrier, queue, full):
        thing.unlink()
    interlock.close()


def test_name_that_is_held_for_long_stays_known_though_the_set_was_lost(client, monkeypatch):
    monkeypatch.setattr(registry, "TOLD_FOR", 1.0)
    lock = interlock.Lock(lease=2.0)
    with lock:
        wait_until(lambda: client.zscore(NAMES, lock.name), what="the first note")
        client.delete(NAMES)
        wait_until(lambda: client.zscore(NAMES, lock.name), within=10, what="the next note")
    wait_until(lambda: found(lock.name) is None)
    interlock.close()


def test_ten_thousand_names_are_kept_and_the_last_thousand_looked_at(client):
    command = name_scripts.note_command("", [f"n{number}" for number in range(6000)])
    client.execute_command(*command)
    wait_until(lambda: client.execute_command("TIME")[0])
    client.execute_command(*name_scripts.note_command("", [f"m{number}" for number in range(6000)]))
    assert client.zcard(NAMES) == 10_000
    assert client.zscore(NAMES, "m5999") is not None
    assert 0 < client.pttl(NAMES) <= 86_400_000
    names = in_use.look_at_all()
    assert (names.in_use, names.looked_at, names.known) == ((), in_use.NAMES_MAX, 10_000)


def test_look_at_all_scans_no_key_and_takes_a_round_trip_for_each_hundred_names(client):
    client.execute_command(*name_scripts.note_command("", [f"n{number}" for number in range(950)]))
    in_use.look_at_all()

    def calls():
        stats = client.info("commandstats")
        return {name: int(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"]) for name in ("scan", "keys", "evalsha")}

    before = calls()
    in_use.look_at_all()
    made = {name: calls - before[name] for name, calls in calls().items()}
    assert (made["scan"], made["keys"]) == (0, 0)
    assert 950 <= made["evalsha"] < 1000, "threads of earlier tests may sweep"


def test_strict_lock_that_is_in_use_tells_of_itself_once_and_not_at_each_acquire(client):
    """The calls that acquire send the same commands as ever: EVALSHA alone, two for each section."""
    lock = interlock.Lock(linger=0)
    with lock:
        wait_until(lambda: client.zscore(NAMES, lock.name))
    told = int(client.info("commandstats")["cmdstat_eval"]["calls"])
    sent = int(client.info("commandstats")["cmdstat_evalsha"]["calls"])
    for _ in range(200):
        with lock:
            pass
    assert 400 <= int(client.info("commandstats")["cmdstat_evalsha"]["calls"]) - sent < 450
    assert int(client.info("commandstats")["cmdstat_eval"]["calls"]) <= told + 1


def test_one_name_is_looked_at_whole_and_one_that_is_unknown_is_none():
    semaphore = interlock.Semaphore(3)
    semaphore.acquire()
    semaphore.acquire()
    seen = in_use.look_at(semaphore.name)
    assert (seen.kind, seen.permits, seen.holding, len(seen.holders)) == ("Semaphore", 3, 2, 2)
    assert seen.breakable
    assert in_use.look_at(semaphore.name, most=1).holding == 2
    assert in_use.look_at("nobody uses this") is None
    assert in_use.take_away(semaphore.name) == 2
    with pytest.raises(interlock.LeaseLostError):
        semaphore.release()
    interlock.close()


def test_what_nobody_can_hold_cannot_be_taken_away():
    event = interlock.Event()
    event.set()
    for name in (event.name, "nobody uses this either"):
        with pytest.raises(interlock.NameTakenError):
            in_use.take_away(name)
    event.unlink()


def test_locks_of_a_cluster_show_wherever_their_keys_are():
    with Cluster(3) as three:
        client = redis.RedisCluster(host="127.0.0.1", port=three.primaries[0].port)
        locks = [interlock.Lock(name=f"c{number}", client=client) for number in range(8)]
        for lock in locks:
            lock.acquire()
        wait_until(lambda: len(in_use.look_at_all(client).in_use) == 8, what="all eight")
        for lock in locks:
            lock.release()
        interlock.close()


@pytest.mark.parametrize("twin", [None, "connects in the heartbeat"])
def test_node_of_the_names_that_is_stopped_costs_no_lease_on_the_others(twin, monkeypatch):
    """The heartbeat does not wait until it is connected to that node; the session has not told of any name before."""
    if twin:
        monkeypatch.setattr(Outbox, "opened", lambda *_: True)
    with Cluster(3) as three:
        client = redis.RedisCluster(
            host="127.0.0.1", port=three.primaries[0].port, socket_timeout=60, socket_connect_timeout=60
        )
        for node in three.primaries:
            node.client.config_set("cluster-require-full-coverage", "no")
        own = session(client)
        own.run(own.checked())
        own.wire.load(scripts.script("lock_beat").text)  # to load a script waits for every node
        port = client.get_node_from_key(NAMES).port
        stopped = next(each for each in three.primaries if each.port == port)
        other = next(each for each in three.primaries if each.port != port)
        lock = interlock.Lock(name=three.name_on(other), client=client, lease=2.0, linger=0)
        stopped.child.process.send_signal(signal.SIGSTOP)
        try:
            assert lock.acquire(blocking=False)
            end = lock.deadline
            wait_until(lambda: lock.lost or lock.deadline > end + 4)
            assert lock.lost == (twin is not None)
        finally:
            stopped.child.process.send_signal(signal.SIGCONT)
        if twin is None:
            wait_until(lambda: found(lock.name, client), what="the name")
            lock.release()
        own.close()


def test_thread_that_waits_is_seen_by_its_own_process():
    lock = interlock.Lock(linger=0)
    lock.acquire()
    waiter = threading.Thread(target=lambda: (lock.acquire(), lock.release()))
    waiter.start()
    wait_until(lambda: (seen := found(lock.name)) and seen.waiting == 1)
    lock.release()
    waiter.join(30)
