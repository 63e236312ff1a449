"""Queues whose users die, or whose calls are sent twice."""

import itertools
import os
import queue
import random
import signal
import threading
import time
from collections import Counter
from urllib.parse import urlsplit

import pytest
import redis
from mutants import twins
from peers import peers, wait_until
from proxy import Proxy
from queue_users import METHODS, get_one, put_one, resource_of

import interlock
from interlock._protocol import queue_scripts, scripts
from interlock.queue import JoinableQueue, Queue

# --- the dead ---


@pytest.mark.parametrize("twin", [None, "queue_the_deaf_are_served"])
def test_killed_getter_delays_nobody(client, twin):
    things = Queue()
    with peers(get_one, [(things, "dead")], twin, start="spawn") as first:
        wait_until(lambda: len(things.statistics().getters) == 1)
        with peers(get_one, [(things, "alive")], twin, start="spawn"):
            wait_until(lambda: len(things.statistics().getters) == 2)
            first[0].kill()
            first[0].join()
            with twins.in_force(twin):
                things.put("item")
                within = 60.0 if twin is None else 1.0
                served = _within(lambda: client.lrange("served", 0, -1), within)
    if twin is None:
        assert served == ["alive item"]
    else:
        assert not served, "it is found when it asks again, a claim later"


def _within(condition, seconds):
    until = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < until:
        time.sleep(0.005)
    return value


@pytest.mark.parametrize("twin", [None, "queue_waits_for_the_dead"])
def test_stopped_getter_is_passed_over_after_a_claim_and_served_when_it_goes_on(client, twin):
    """A stopped process is connected still: the wake-up reaches its socket, and nobody reads it."""
    things = Queue()
    with peers(get_one, [(things, "stopped")], twin, start="spawn") as first:
        wait_until(lambda: len(things.statistics().getters) == 1)
        with peers(get_one, [(things, "alive")], twin, start="spawn"):
            wait_until(lambda: len(things.statistics().getters) == 2)
            os.kill(first[0].pid, signal.SIGSTOP)
            with twins.in_force(twin):
                things.put("one")
                served = _within(lambda: client.llen("served"), 60.0 if twin is None else 6.0)
                os.kill(first[0].pid, signal.SIGCONT)
                things.put("two")
                wait_until(lambda: client.llen("served") == 2)
    assert bool(served) == (twin is None)
    if twin is None:
        assert client.lrange("served", 0, -1) == ["alive one", "stopped two"]


@pytest.mark.parametrize("method", METHODS)
def test_items_survive_getters_that_are_killed_while_they_wait(client, method):
    things = Queue()
    for _ in range(3):
        with peers(get_one, [(things, "dead")] * 2, start=method) as waiting:
            wait_until(lambda: len(things.statistics().getters) >= 2)
            for process in waiting:
                process.kill()
    for number in range(5):
        things.put(number)
    assert [things.get(timeout=10) for _ in range(5)] == [0, 1, 2, 3, 4]
    assert client.llen("served") == 0


def test_killed_putter_leaves_its_place_and_no_item(client):
    things = Queue(1)
    things.put("first")
    with peers(put_one, [(things, "dead")], start="spawn") as waiting:
        wait_until(lambda: things.statistics().putters)
        waiting[0].kill()
        waiting[0].join()
        assert things.get() == "first"
        things.put("second", timeout=10)
        assert things.get() == "second"
        assert things.empty()


def _consume_all(things):
    def reached():
        try:
            return things.empty() is not None
        except interlock.UnreachableError:  # its first connections were cut, all of them
            return False

    def got():
        while True:
            try:
                return things.get()
            except redis.ConnectionError:  # cut, and what it was sent again on as well: what it took was given back
                pass

    port = urlsplit(os.environ["REDIS_URL"]).port
    with redis.Redis(port=port) as note:  # not `plain`: a client made from a URL does not send again what was cut
        wait_until(reached)
        for number in itertools.count():
            note.sadd("got", f"{got()} {os.getpid()} {number}")


@pytest.mark.parametrize("twin", [None, "queue_peeks_instead_of_taking"])
def test_items_arrive_once_while_consumers_die_and_connections_are_cut(client, twin):
    """A consumer that is killed may have taken an item that it did not note; nothing else is lost or doubled."""
    chance = random.Random(2026)
    things, kills, alive = Queue(5 if twin is None else 0), 0, []

    def start():
        entered = peers(_consume_all, [(things,)], twin, start="fork")
        alive.append((entered, entered.__enter__()[0]))

    try:
        for _ in range(4):
            start()
        began = acted = time.monotonic()
        number = 0
        while time.monotonic() < began + 6.0:
            things.put(number, timeout=10)
            number += 1
            if time.monotonic() < acted + 0.1:
                continue
            acted = time.monotonic()
            what = chance.random()
            if what < 0.3:
                entered, process = alive.pop(0)
                process.kill()
                entered.__exit__(None, None, None)
                kills += 1
                start()
            elif what < 0.9:
                client.client_kill_filter(_type=chance.choice(["normal", "pubsub"]), skipme=True)
            else:
                client.script_flush()
        if twin is None:
            wait_until(lambda: things.empty() and len(things.statistics().getters) == 4, what="all waiting again")
    finally:
        for entered, _ in alive:
            entered.__exit__(None, None, None)
    got = Counter(int(note.split()[0]) for note in client.smembers("got"))
    print(f"{number} items put, {len(got)} got, {kills} kills")
    assert kills > 2
    assert (max(got.values()) == 1 and number - kills <= len(got) <= number) == (twin is None)


def test_interrupted_getter_leaves_its_place():
    things = Queue()

    def interrupt(*_):
        raise InterruptedError("struck")

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(InterruptedError, match="struck"):
            things.get()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert things.statistics().getters == ()
    things.put(1)
    assert things.get(timeout=1) == 1


# --- sent twice ---


@pytest.mark.parametrize("twin", [None, "queue_nothing_was_done_before"])
def test_put_sent_twice_puts_once(own, twin):
    things = JoinableQueue()
    resource = resource_of(own, things)
    id = own.holdings.new_id()
    with twins.in_force(twin):
        for _ in range(2):
            answer = own.run(queue_scripts.put(resource, id=id, wait=True, arrival="", item="j1"))
            assert answer.code == scripts.DONE
    assert (things.qsize() == 1) == (twin is None)
    assert (things.statistics().unfinished == 1) == (twin is None)


@pytest.mark.parametrize("twin", [None, "queue_nothing_was_done_before"])
def test_get_sent_twice_gets_the_same_item(own, twin):
    things = Queue()
    resource = resource_of(own, things)
    for number in range(3):
        things.put(number)
    id = own.holdings.new_id()
    with twins.in_force(twin):
        got = [
            own.run(queue_scripts.get(resource, id=id, wait=True, arrival="", take=True, pickles=False)).text
            for _ in range(2)
        ]
        got.append(own.run(queue_scripts.leave(resource, id=id)).text)
    assert (got == ["j0", "j0", "j0"]) == (twin is None)
    assert (things.qsize() == 2) == (twin is None)


@pytest.mark.parametrize("twin", [None, "queue_nothing_was_done_before"])
def test_get_that_arrives_after_its_end_takes_nothing(own, twin):
    things = Queue()
    resource = resource_of(own, things)
    id = own.holdings.new_id()

    def get(*, wait):
        return own.run(queue_scripts.get(resource, id=id, wait=wait, arrival="", take=True, pickles=False))

    with twins.in_force(twin):
        assert get(wait=True).code == scripts.QUEUED
        assert own.run(queue_scripts.leave(resource, id=id)).code == scripts.BUSY
        things.put(1)
        answer = get(wait=True)
    assert (answer.code == scripts.BUSY) == (twin is None)
    assert (things.qsize() == 1) == (twin is None)


@pytest.mark.parametrize("twin", [None, "queue_nothing_was_done_before"])
def test_task_done_sent_twice_counts_once(own, twin):
    things = JoinableQueue()
    resource = resource_of(own, things)
    for number in range(3):
        things.put(number)
    id = own.holdings.new_id()
    with twins.in_force(twin):
        for _ in range(2):
            own.run(queue_scripts.done(resource, id=id))
    assert (things.statistics().unfinished == 2) == (twin is None)


@pytest.mark.parametrize("twin", [None, "queue_nothing_was_done_before"])
@pytest.mark.parametrize("lost", ["put", "get"])
def test_queue_whose_replies_are_lost_doubles_and_loses_nothing(lost, twin):
    """A proxy forwards one request, swallows its reply and cuts the connection: the call is sent again."""
    with Proxy() as proxy:
        client = redis.Redis(port=proxy.port)
        things = Queue(client=client)
        things.put("warm")
        assert things.get() == "warm"
        got = []
        with twins.in_force(twin):
            for number in range(6):
                if lost == "put":
                    proxy.lose_next_reply()
                things.put(number)
            for _ in range(6):
                if lost == "get":
                    proxy.lose_next_reply()
                try:
                    got.append(things.get(timeout=30 if twin is None else 0.5))
                except queue.Empty:
                    break
        assert proxy.lost >= 3
        assert (got == [0, 1, 2, 3, 4, 5] and things.empty()) == (twin is None)
        client.close()


def test_put_that_waited_and_whose_reply_was_lost_is_put_once():
    with Proxy() as proxy:
        client = redis.Redis(port=proxy.port)
        things = Queue(1, client=client)
        other = Queue(1, name=things.name, ttl=60)
        other.put("first")
        thread = threading.Thread(target=things.put, args=("second",))
        thread.start()
        wait_until(lambda: other.statistics().putters)
        proxy.lose_next_reply()
        assert other.get() == "first"
        thread.join(10)
        assert proxy.lost == 1
        assert other.get(timeout=10) == "second"
        assert other.empty()
        assert other.statistics().putters == ()
        client.close()


def test_what_a_slot_got_is_kept_for_one_attempt_only_and_expires(own, client):
    things = Queue()
    for number in range(3):
        things.put(number)
        things.get()
    (key,) = client.keys(f"interlock:{{{things.name}}}:got:*")
    assert client.hlen(key) == 1
    assert 0 < client.pttl(key) <= 600_000
    with pytest.raises(queue.Empty):
        things.get_nowait()
    assert client.hlen(key) == 0
