"""The queues as their twins in multiprocessing, and what is ours: order, bounds, lost replies, the dead."""

import itertools
import json
import multiprocessing
import os
import pickle
import queue
import random
import signal
import threading
import time
from collections import Counter
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
import redis
import twins
from kombu.serialization import dumps, loads
from peers import joined, peers, plain, wait_until
from proxy import Proxy

import interlock
from interlock import _heartbeat, _queue_scripts, _scripts, _session
from interlock._codec import ITEM_BYTES_MAX
from interlock._primitive import attach
from interlock._session import session
from interlock.queue import JoinableQueue, Queue, SimpleQueue

METHODS = ("spawn", "fork")
KINDS = (Queue, JoinableQueue, SimpleQueue)


@pytest.fixture
def own():
    return session(None)


def identity(own, thing):
    return own.identity(thing.kind, thing.name, thing.maxsize, 60_000)


# --- many processes ---


def _together(note, parties):
    note.incr("ready")
    wait_until(lambda: int(note.get("ready")) == parties, what="the start of all")


def _produce(things, parties, producer, count):
    with plain() as note:
        _together(note, parties)
        for number in range(count):
            things.put([producer, number])
            note.rpush("sizes", things.qsize())


def _consume(things, parties, consumer):
    with plain() as note:
        _together(note, parties)
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
        _together(note, parties)
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


def _get_one(things, mark):
    item = things.get()
    with plain() as note:
        note.rpush("served", f"{mark} {item}")


def _put_one(things, mark):
    things.put(mark)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("twin", [None, "queue_last_come_first_served"])
def test_waiting_getters_are_served_in_order_of_arrival(client, method, twin):
    things = Queue()
    with ExitStack() as waiting:
        for mark in range(4):
            waiting.enter_context(peers(_get_one, [(things, mark)], twin, start=method))
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
            waiting.enter_context(peers(_put_one, [(things, mark)], twin, start="spawn"))
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
    of = identity(own, things)
    waiter, newcomer, item = own.standing.new_id(), own.standing.new_id(), "j1"

    def get(id, *, wait):
        return own.run(_queue_scripts.get(of, id=id, wait=wait, arrival="", take=True, pickles=False))

    own._listen(5.0)  # so that the waiter is not known to be deaf
    with twins.in_force(twin):
        assert get(waiter, wait=True).code == _scripts.QUEUED
        own.run(_queue_scripts.put(of, id=own.standing.new_id(), wait=False, arrival="", item=item))
        answers = get(newcomer, wait=False).code, get(waiter, wait=True).code
    assert (answers == (_scripts.BUSY, _scripts.DONE)) == (twin is None)


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
    things.put(7)
    for thread in threads:
        thread.join(60)
    assert outcomes == ["empty", 7]


@pytest.mark.parametrize("twin", [None, "queue_wakes_nobody"])
def test_waiter_is_woken_and_need_not_ask(own, monkeypatch, twin):
    """Long before it asks by itself."""
    for module in (_session, _heartbeat):
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


# --- the dead ---


@pytest.mark.parametrize("twin", [None, "queue_the_deaf_are_served"])
def test_killed_getter_delays_nobody(client, twin):
    things = Queue()
    with peers(_get_one, [(things, "dead")], twin, start="spawn") as first:
        wait_until(lambda: len(things.statistics().getters) == 1)
        with peers(_get_one, [(things, "alive")], twin, start="spawn"):
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
    with peers(_get_one, [(things, "stopped")], twin, start="spawn") as first:
        wait_until(lambda: len(things.statistics().getters) == 1)
        with peers(_get_one, [(things, "alive")], twin, start="spawn"):
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
        with peers(_get_one, [(things, "dead")] * 2, start=method) as waiting:
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
    with peers(_put_one, [(things, "dead")], start="spawn") as waiting:
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
    of = identity(own, things)
    id = own.standing.new_id()
    with twins.in_force(twin):
        for _ in range(2):
            answer = own.run(_queue_scripts.put(of, id=id, wait=True, arrival="", item="j1"))
            assert answer.code == _scripts.DONE
    assert (things.qsize() == 1) == (twin is None)
    assert (things.statistics().unfinished == 1) == (twin is None)


@pytest.mark.parametrize("twin", [None, "queue_nothing_was_done_before"])
def test_get_sent_twice_gets_the_same_item(own, twin):
    things = Queue()
    of = identity(own, things)
    for number in range(3):
        things.put(number)
    id = own.standing.new_id()
    with twins.in_force(twin):
        got = [
            own.run(_queue_scripts.get(of, id=id, wait=True, arrival="", take=True, pickles=False)).text
            for _ in range(2)
        ]
        got.append(own.run(_queue_scripts.leave(of, id=id)).text)
    assert (got == ["j0", "j0", "j0"]) == (twin is None)
    assert (things.qsize() == 2) == (twin is None)


@pytest.mark.parametrize("twin", [None, "queue_nothing_was_done_before"])
def test_get_that_arrives_after_its_end_takes_nothing(own, twin):
    things = Queue()
    of = identity(own, things)
    id = own.standing.new_id()

    def get(*, wait):
        return own.run(_queue_scripts.get(of, id=id, wait=wait, arrival="", take=True, pickles=False))

    with twins.in_force(twin):
        assert get(wait=True).code == _scripts.QUEUED
        assert own.run(_queue_scripts.leave(of, id=id)).code == _scripts.BUSY
        things.put(1)
        answer = get(wait=True)
    assert (answer.code == _scripts.BUSY) == (twin is None)
    assert (things.qsize() == 1) == (twin is None)


@pytest.mark.parametrize("twin", [None, "queue_nothing_was_done_before"])
def test_task_done_sent_twice_counts_once(own, twin):
    things = JoinableQueue()
    of = identity(own, things)
    for number in range(3):
        things.put(number)
    id = own.standing.new_id()
    with twins.in_force(twin):
        for _ in range(2):
            own.run(_queue_scripts.done(of, id=id))
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


# --- JoinableQueue ---


def _work(things, parties):
    with plain() as note:
        _together(note, parties)
        while (item := things.get()) is not None:
            time.sleep(0.002)
            note.rpush("worked", item)
            things.task_done()
        things.task_done()


@pytest.mark.parametrize("method", METHODS)
def test_join_waits_for_the_work_of_other_processes(client, method):
    jobs = JoinableQueue(10)
    with peers(_work, [(jobs, 3)] * 3, start=method) as workers:
        for number in range(60):
            jobs.put(number)
        jobs.join()
        assert Counter(map(int, client.lrange("worked", 0, -1))) == Counter(range(60))
        for _ in workers:
            jobs.put(None)
        joined(workers)
        jobs.join()
    assert jobs.statistics().unfinished == 0


@pytest.mark.parametrize("twin", [None, "queue_joiners_ask_again"])
def test_join_goes_on_though_items_are_put_before_it_asks_again(own, twin):
    jobs = JoinableQueue()
    jobs.put(1)
    of = identity(own, jobs)
    id = own.standing.new_id()
    with twins.in_force(twin):
        assert own.run(_queue_scripts.join(of, id=id)).code == _scripts.QUEUED
        jobs.task_done()
        jobs.put(2)
        assert (own.run(_queue_scripts.join(of, id=id)).code == _scripts.DONE) == (twin is None)


def test_task_done_called_too_often_is_an_error_as_in_multiprocessing():
    jobs = JoinableQueue()
    jobs.put(1)
    jobs.task_done()
    with pytest.raises(ValueError, match=r"task_done\(\) called too many times"):
        jobs.task_done()
    jobs.join()
    assert jobs.get() == 1


# --- what an item may be ---


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "item", [None, True, 0, -(2**70), 1.5, "λ \ud800 {}", [], {"a": [1, {"b": None}]}, b"", b"\xff\0"]
)
def test_json_and_bytes_arrive_as_they_were(kind, item):
    things = kind()
    things.put(item)
    got = things.get()
    assert got == item
    assert type(got) is type(item)


def test_tuples_arrive_as_lists_and_keys_as_text():
    things = Queue()
    things.put({1: (2, 3)})
    assert things.get() == {"1": [2, 3]}


def _loop():
    own = []
    own.append(own)
    return own


@pytest.mark.parametrize("item", [object(), {1, 2}, bytearray(b"x"), 1j, {"a": object()}, {(1,): 2}, _loop(), [b"x"]])
def test_other_things_are_refused_in_one_line_that_says_what_is_allowed(item):
    things = Queue()
    with pytest.raises(TypeError, match=r"an item is what JSON holds .* bytes, or anything with pickle=True") as raised:
        things.put(item)
    assert "\n" not in str(raised.value)
    assert things.empty()


def test_pickles_are_unpickled_only_by_who_asks_for_them():
    writer = Queue(pickle=True)
    reader = Queue(name=writer.name, ttl=60)
    writer.put({1, 2})
    writer.put(b"bytes")
    for get in (reader.get, reader.get_nowait, lambda: reader.get(timeout=5)):
        with pytest.raises(interlock.InterlockError, match="ask for pickle=True"):
            get()
    assert reader.qsize() == 2, "the item stays"
    assert writer.get() == {1, 2}
    assert reader.get() == b"bytes", "bytes are never pickled"


@pytest.mark.parametrize("twin", [None, "queue_pickles_for_all"])
def test_a_waiting_reader_without_pickle_leaves_the_item_to_the_next(twin):
    writer = Queue(pickle=True)
    plain_reader, outcome = Queue(name=writer.name, ttl=60), []

    def read():
        try:
            outcome.append(plain_reader.get(timeout=10))
        except interlock.InterlockError:
            outcome.append("refused")

    with twins.in_force(twin):
        first = threading.Thread(target=read)
        first.start()
        wait_until(lambda: len(writer.statistics().getters) == 1)
        second = threading.Thread(target=lambda: outcome.append(writer.get(timeout=60)))
        second.start()
        wait_until(lambda: len(writer.statistics().getters) == 2)
        writer.put({1})
        first.join(10)
        if twin is None:
            second.join(60)
            assert sorted(map(str, outcome)) == ["refused", "{1}"]
        else:
            assert "refused" not in outcome
            writer.put({2})
            second.join(60)


def test_pickle_does_not_travel_with_the_object():
    things = Queue(pickle=True)
    assert "pickle" not in things.parameters()
    assert pickle.loads(pickle.dumps(things)).pickle is False
    with pytest.raises(TypeError, match="pickle"):
        attach({"kind": "Queue", **things.parameters(), "pickle": True})


def test_item_that_is_too_large_is_refused_and_the_largest_arrives():
    things = Queue()
    largest = random.Random(1).randbytes(ITEM_BYTES_MAX)
    things.put(largest)
    assert things.get() == largest
    for item in (largest + b"x", "x" * ITEM_BYTES_MAX):
        with pytest.raises(ValueError, match=f"an item may have {ITEM_BYTES_MAX} bytes, not"):
            things.put(item)
    assert things.empty()


# --- the contract of multiprocessing ---


@pytest.mark.parametrize("make", [multiprocessing.Queue, multiprocessing.JoinableQueue, Queue, JoinableQueue])
def test_full_and_empty_are_the_errors_of_the_standard_library(make):
    things = make(1)
    with pytest.raises(queue.Empty):
        things.get_nowait()
    with pytest.raises(queue.Empty):
        things.get(block=False, timeout=5)
    with pytest.raises(queue.Empty):
        things.get(timeout=0.05)
    assert things.empty()
    assert not things.full()
    things.put("x")
    wait_until(lambda: not things.empty())
    assert things.full()
    for put in (things.put_nowait, lambda item: things.put(item, timeout=0.05), lambda item: things.put(item, False)):
        with pytest.raises(queue.Full):
            put("y")
    assert things.qsize() == 1
    assert things.get(True, 5) == "x"
    things.close()
    with pytest.raises(ValueError, match="is closed"):
        things.put("z")
    with pytest.raises(ValueError, match="is closed"):
        things.get()
    things.join_thread()
    things.cancel_join_thread()


@pytest.mark.parametrize("make", [multiprocessing.SimpleQueue, SimpleQueue])
def test_simple_queue_puts_gets_and_closes_as_in_multiprocessing(make):
    things = make()
    assert things.empty()
    things.put("x")
    assert not things.empty()
    assert things.get() == "x"
    things.close()
    for call in (things.get, lambda: things.put(1)):
        with pytest.raises(OSError, match="closed"):
            call()


def test_timeouts_wait_as_long_as_they_say_and_leave_nobody_queued():
    empty, full = Queue(), Queue(1)
    full.put(0)
    for call, error in ((lambda: empty.get(timeout=0.3), queue.Empty), (lambda: full.put(1, timeout=0.3), queue.Full)):
        began = time.monotonic()
        with pytest.raises(error):
            call()
        assert time.monotonic() - began >= 0.3
    assert empty.statistics().getters == full.statistics().putters == ()
    with pytest.raises(queue.Empty):
        empty.get(timeout=-1)
    with pytest.raises(TypeError, match="timeout must be a number of seconds"):
        empty.get(timeout="1")


def test_arguments_that_cannot_be_are_refused_in_one_line():
    for arguments, options, error in (
        (("1",), {}, TypeError),
        ((True,), {}, TypeError),
        ((2**31,), {}, ValueError),
        ((), {"ttl": 0.5}, ValueError),
        ((), {"name": "a{b}"}, ValueError),
        ((), {"pickle": 1}, TypeError),
        ((), {"client": "redis://"}, TypeError),
    ):
        with pytest.raises(error) as raised:
            Queue(*arguments, **options)
        assert "\n" not in str(raised.value)
    assert Queue(-1).maxsize == 0


def test_name_taken_by_another_kind_or_another_maxsize_is_refused():
    things = Queue(2, name="taken", ttl=60)
    things.put(1)
    with pytest.raises(interlock.NameTakenError, match="has maxsize 2, not 3"):
        Queue(3, name="taken").put(1)
    for other in (JoinableQueue(2, name="taken"), SimpleQueue(name="taken")):
        with pytest.raises(interlock.NameTakenError, match="is a Queue already"):
            other.put(1)
        with pytest.raises(interlock.NameTakenError):
            other.get()
    with pytest.raises(interlock.NameTakenError):
        interlock.Lock(name="taken").acquire()
    with interlock.Lock(name="a lock"), pytest.raises(interlock.NameTakenError, match="is a Lock already"):
        Queue(name="a lock").put(1)
    assert things.get() == 1


@pytest.mark.parametrize("make", [lambda: Queue(3), lambda: JoinableQueue(2, ttl=9), SimpleQueue])
def test_queues_pass_through_pickle_and_json_by_name(make):
    interlock.register_with_kombu()
    thing = make()
    content_type, encoding, data = dumps({"args": [thing]}, serializer="json")
    for arrived in (pickle.loads(pickle.dumps(thing)), loads(data, content_type, encoding)["args"][0]):
        assert type(arrived) is type(thing)
        assert arrived.parameters() == thing.parameters()
        thing.put(1)
        assert arrived.get() == 1


def test_statistics_say_what_is_in_it_and_who_waits():
    things = JoinableQueue(1, name="watched", ttl=60)
    things.put(1)
    thread = threading.Thread(target=things.put, args=(2,))
    thread.start()
    wait_until(lambda: things.statistics().putters)
    seen = things.statistics()
    assert (seen.kind, seen.name, seen.size, seen.maxsize, seen.unfinished) == ("JoinableQueue", "watched", 1, 1, 1)
    assert seen.getters == ()
    assert str(os.getpid()) in seen.putters[0]
    things.get()
    thread.join(10)
    assert things.statistics().unfinished == 2
    assert "watched" in repr(things)


# --- keys ---


@pytest.mark.parametrize("twin", [None, "queue_keeps_what_is_empty"])
def test_named_queue_is_kept_while_it_holds_items_and_expires_when_empty(client, twin):
    things = Queue(name="kept")
    key = "interlock:{kept}"
    with twins.in_force(twin):
        things.put(1)
        assert client.pttl(key) == client.pttl(f"{key}:items") == -1
        things.get()
    assert (0 < client.pttl(key) <= 86_400_000) == (twin is None)
    things.put(2)
    assert client.pttl(key) == -1
    things.unlink()
    assert not client.exists(key, f"{key}:items")
    assert things.empty()


def test_unfinished_tasks_are_kept_as_items_are(client):
    jobs = JoinableQueue(name="unfinished")
    jobs.put(1)
    jobs.get()
    assert client.pttl("interlock:{unfinished}") == -1
    jobs.task_done()
    assert client.pttl("interlock:{unfinished}") > 0


def test_items_of_unnamed_queues_and_of_those_with_a_ttl_expire_after_their_last_use(client):
    unnamed, short = Queue(), Queue(name="short", ttl=60)
    for things, most in ((unnamed, 86_400_000), (short, 60_000)):
        things.put(1)
        for key in (f"interlock:{{{things.name}}}", f"interlock:{{{things.name}}}:items"):
            assert most - 10_000 < client.pttl(key) <= most


def test_every_key_that_waiters_leave_expires(client):
    things, jobs = Queue(1), JoinableQueue()
    things.put(0)
    jobs.put(0)
    with (
        peers(_put_one, [(things, 1)], start="spawn"),
        peers(_get_one, [(SimpleQueue(name="waits", ttl=60), 1)], start="spawn"),
        peers(JoinableQueue.join, [(jobs,)], start="spawn"),
    ):
        for name, suffixes in (
            (things.name, ["putters", "heard"]),
            ("waits", ["getters", "heard"]),
            (jobs.name, ["joiners"]),
        ):
            for suffix in suffixes:
                wait_until(lambda key=f"interlock:{{{name}}}:{suffix}": client.exists(key), what=suffix)
    kept = [key for key in client.keys("interlock:*") if client.pttl(key) == -1]
    assert kept == []
    things.unlink()
    things.put("goes on", block=False)


def test_inspect_lists_who_waits_for_queues_events_and_barriers(client):
    jobs, event = Queue(1, name="jobs", ttl=60), interlock.Event(name="go", ttl=60)
    with peers(Queue.get, [(jobs,)]), peers(interlock.Event.wait, [(event,)]):
        wait_until(lambda: jobs.statistics().getters and event.statistics().waiters, what="both waits")
        found = {each.name: each for each in interlock.inspect()}
    assert {name: (each.kind, len(each.waiters), each.holders) for name, each in found.items()} == {
        "jobs": ("Queue", 1, ()), "go": ("Event", 1, ()),
    }  # fmt: skip
