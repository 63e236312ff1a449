"""Queues between many processes: each item once, within the bound, and first come, first served."""

import json
import queue
import threading
import time
from contextlib import ExitStack

import pytest
from mutants import twins
from peers import joined, peers, plain, wait_until
from queue_users import METHODS, get_one, put_one, resource_of, together

from interlock._protocol import queue_scripts, scripts
from interlock._session import heartbeat, polling
from interlock.queue import Queue

# --- many processes ---


def _produce(things, parties, producer, count):
    with plain() as note:
        together(note, parties)
        for number in range(count):
            things.put([producer, number])
            note.rpush("sizes", things.qsize())


def _consume(things, parties, consumer):
    with plain() as note:
        together(note, parties)
        while (item := things.get()) is not None:
            note.rpush(f"got:{consumer}", json.dumps(item))


def _run_four_and_four(method, things, client, twin=None):
    """400 items through 4 producers and 4 consumers; what each consumer got, in order."""
    with (
        peers(_consume, [(things, 8, n) for n in range(4)], twin, start=method) as consumers,
        peers(_produce, [(things, 8, n, 100) for n in range(4)], twin, start=method) as producers,
    ):
        joined(producers)
        for _ in consumers:
            things.put(None)
        joined(consumers)
    return [[tuple(json.loads(item)) for item in client.lrange(f"got:{n}", 0, -1)] for n in range(4)]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("maxsize", [0, 3])
def test_each_of_400_items_arrives_once_and_in_each_producers_order(client, method, maxsize):
    things = Queue(maxsize)
    got = _run_four_and_four(method, things, client)
    every = [item for each in got for item in each]
    assert sorted(every) == [(producer, number) for producer in range(4) for number in range(100)]
    for each in got:
        for producer in range(4):
            numbers = [number for who, number in each if who == producer]
            assert numbers == sorted(numbers)
    if maxsize:
        # Read between operations: at most maxsize, whoever reads.
        assert max(int(size) for size in client.lrange("sizes", 0, -1)) <= maxsize
    assert things.empty()
    assert things.statistics().getters == things.statistics().putters == ()


def _produce_only(things, parties, producer, count):
    with plain() as note:
        together(note, parties)
        for number in range(count):
            things.put([producer, number])


def _watch_size(things, client, stop, seen):
    while not stop.is_set():
        seen.append(client.llen(f"interlock:{{{things.name}}}:items"))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("twin", [None, "queue_without_bound"])
def test_queue_of_three_filled_by_four_processes_never_holds_more(client, method, twin):
    things = Queue(3)
    stop, seen = threading.Event(), []
    watcher = threading.Thread(target=_watch_size, args=(things, client, stop, seen))
    with peers(_produce_only, [(things, 4, n, 20) for n in range(4)], twin, start=method) as producers:
        watcher.start()
        wait_until(lambda: things.qsize() >= 3)
        got = []
        while len(got) < 80:
            got.append(tuple(things.get(timeout=30)))
            time.sleep(0.002)
        joined(producers)
    stop.set()
    watcher.join()
    assert len(set(got)) == 80
    assert max(seen) >= 3, "never full: the test shows nothing"
    assert (max(seen) <= 3) == (twin is None)


@pytest.mark.parametrize("twin", ["queue_peeks_instead_of_taking", "queue_newest_first"])
def test_the_check_of_400_items_fails_on_a_broken_queue(own, twin):
    """The twin of the test above, in one process: what is got twice, or in another order, is seen."""
    things = Queue()
    for number in range(3):
        things.put([0, number])
    with twins.in_force(twin):
        got = [things.get(timeout=1)[1] for _ in range(3)]
    assert got != [0, 1, 2]


# --- order of service ---


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("twin", [None, "queue_last_come_first_served"])
def test_waiting_getters_are_served_in_order_of_arrival(client, method, twin):
    things = Queue()
    with ExitStack() as waiting:
        for mark in range(4):
            waiting.enter_context(peers(get_one, [(things, mark)], twin, start=method))
            wait_until(lambda n=mark: len(things.statistics().getters) == n + 1, what="queueing")
        for number in range(4):
            with twins.in_force(twin):
                things.put(number)
            wait_until(lambda n=number: client.llen("served") == n + 1, what="service")
    served = client.lrange("served", 0, -1)
    assert (served == ["0 0", "1 1", "2 2", "3 3"]) == (twin is None)


@pytest.mark.parametrize("twin", [None, "queue_last_come_first_served"])
def test_waiting_putters_are_served_in_order_of_arrival(client, twin):
    things = Queue(1)
    things.put("first")
    with ExitStack() as waiting:
        for mark in range(3):
            waiting.enter_context(peers(put_one, [(things, mark)], twin, start="spawn"))
            wait_until(lambda n=mark: len(things.statistics().putters) == n + 1, what="queueing")
        with twins.in_force(twin):
            got = []
            for _ in range(4):
                got.append(things.get(timeout=10))
                wait_until(lambda: things.qsize() == min(1, 4 - len(got)), what="the next")
    assert (got == ["first", 0, 1, 2]) == (twin is None)


@pytest.mark.parametrize("twin", [None, "queue_newcomers_go_ahead"])
def test_newcomer_does_not_take_the_item_of_who_waits(own, twin):
    things = Queue()
    resource = resource_of(own, things)
    waiter, newcomer, item = own.holdings.new_id(), own.holdings.new_id(), "j1"

    def get(id, *, wait):
        return own.run(queue_scripts.get(resource, id=id, wait=wait, arrival="", take=True, pickles=False))

    own.inbox.listen(5.0)  # so that the waiter is not known to be deaf
    with twins.in_force(twin):
        assert get(waiter, wait=True).code == scripts.QUEUED
        own.run(queue_scripts.put(resource, id=own.holdings.new_id(), wait=False, arrival="", item=item))
        answers = get(newcomer, wait=False).code, get(waiter, wait=True).code
    assert (answers == (scripts.BUSY, scripts.DONE)) == (twin is None)


def test_second_of_two_waiters_is_served_when_the_first_gives_up(own):
    things = Queue()
    outcomes = []

    def first():
        try:
            things.get(timeout=3.0)  # until then, the second must have come
        except queue.Empty:
            outcomes.append("empty")

    threads = [threading.Thread(target=first)]
    threads[0].start()
    wait_until(lambda: len(things.statistics().getters) == 1)
    threads.append(threading.Thread(target=lambda: outcomes.append(things.get(timeout=60))))
    threads[1].start()
    wait_until(lambda: len(things.statistics().getters) == 2)
    wait_until(lambda: len(things.statistics().getters) == 1)
    threads[0].join(60)
    things.put(7)
    threads[1].join(60)
    assert outcomes == ["empty", 7]


@pytest.mark.parametrize("twin", [None, "queue_wakes_nobody"])
def test_waiter_is_woken_and_need_not_ask(own, monkeypatch, twin):
    """Long before it asks by itself."""
    for module in (polling, heartbeat):
        monkeypatch.setattr(module, "REASK", 3.0)
    things, full = Queue(), Queue(1)
    waits = []
    full.put(0)
    with twins.in_force(twin):
        for act, wake in ((things.get, lambda: things.put(1)), (lambda: full.put(1), full.get)):
            thread = threading.Thread(target=act)
            thread.start()
            wait_until(lambda: things.statistics().getters or full.statistics().putters)
            began = time.monotonic()
            wake()
            thread.join(10)
            waits.append(time.monotonic() - began)
    assert (max(waits) < 2.0) == (twin is None)
