"""The queues as their twins in multiprocessing; what an item may be; which keys they keep."""

import multiprocessing
import os
import pickle
import queue
import random
import threading
import time
from collections import Counter

import pytest
from kombu.serialization import dumps, loads
from mutants import twins
from peers import joined, peers, plain, wait_until
from queue_users import METHODS, get_one, put_one, resource_of, together

import interlock
from interlock._primitive import attach
from interlock._protocol import queue_scripts, scripts
from interlock._protocol.codec import ITEM_BYTES_MAX
from interlock.queue import JoinableQueue, Queue, SimpleQueue

KINDS = (Queue, JoinableQueue, SimpleQueue)


# --- JoinableQueue ---


def _work(things, parties):
    with plain() as note:
        together(note, parties)
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
    resource = resource_of(own, jobs)
    id = own.holdings.new_id()
    with twins.in_force(twin):
        assert own.run(queue_scripts.join(resource, id=id)).code == scripts.QUEUED
        jobs.task_done()
        jobs.put(2)
        assert (own.run(queue_scripts.join(resource, id=id)).code == scripts.DONE) == (twin is None)


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
        peers(put_one, [(things, 1)], start="spawn"),
        peers(get_one, [(SimpleQueue(name="waits", ttl=60), 1)], start="spawn"),
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
