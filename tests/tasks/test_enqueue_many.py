"""`enqueue_many` without a worker: what it refuses, what it enqueues, and that it enqueues nothing twice."""

import json
import os
import subprocess
import sys
import threading
import tracemalloc
from contextlib import contextmanager

import pytest
from celery.exceptions import QueueNotFound
from kombu.exceptions import EncodeError
from paths import PYTHONPATH
from peers import wait_until, written
from servers import Server

from tasks import Batch, QueueFullError, enqueue_many, print_letters, print_square
from tasks.enqueuing import sending
from workers.local_stack.children import ROOT


def ids_in(client, queue="cpu"):
    return [json.loads(message)["headers"]["id"] for message in reversed(client.lrange(queue, 0, -1))]


WRONG = {
    "argument": ({"arguments": [(1,), ("ten",)]}, r"arguments\[1\]: num must be"),
    "missing": ({"arguments": [(1,), ()]}, r"arguments\[1\]: .*missing a required argument"),
    "name of an argument": (
        {"arguments": [{"num": 1}, {"number": 2}]},
        r"arguments\[1\]: .*missing a required argument",
    ),
    "no tuple": ({"arguments": [(1,), 2]}, r"arguments\[1\] must be a tuple of arguments, as \(10,\)"),
    "a text": ({"arguments": "abc"}, "arguments must be an iterable"),
    "no iterable": ({"arguments": 5}, "arguments must be an iterable"),
    "ids too few": ({"arguments": [(1,), (2,)], "ids": ["a"]}, "not 1 ids for more tasks"),
    "ids too many": ({"arguments": [(1,)], "ids": ["a", "b"]}, "not more ids than the 1 tasks"),
    "id empty": ({"arguments": [(1,)], "ids": [""]}, r"ids\[0\] must be 1 to 200 characters"),
    "id no text": ({"arguments": [(1,)], "ids": [7]}, r"ids\[0\] must be a text"),
    "id half a character": ({"arguments": [(1,)], "ids": ["\udc80"]}, "UTF-8 can hold"),
    "name": ({"arguments": [(1,)], "name": "a b"}, "name must be 1 to 100 letters"),
    "name no text": ({"arguments": [(1,)], "name": 5}, "name must be a text"),
    "option": ({"arguments": [(1,)], "task_id": "x"}, "takes no option 'task_id'"),
    "countdown": ({"arguments": [(1,)], "countdown": "soon"}, "countdown must be a number"),
    "queue_max": ({"arguments": [(1,)], "queue_max": 0}, "queue_max must be a whole number of messages, 1 or more"),
    "timeout": ({"arguments": [(1,)], "timeout": -1}, "timeout must be 0 or more seconds"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_use_is_one_line_and_enqueues_nothing(client, name):
    given, text = WRONG[name]
    with pytest.raises((TypeError, ValueError), match=text) as raised:
        enqueue_many(print_square, **given)
    assert "\n" not in str(raised.value)
    assert not written(client)


def test_what_is_no_task_or_queue_is_refused(client):
    for task in (len, "tasks.print_square", print_square.s(1)):
        with pytest.raises(TypeError, match="task must be a task"):
            enqueue_many(task, [(1,)])
    with pytest.raises(QueueNotFound):
        enqueue_many(print_square, [(1,)], queue="gpu")
    assert not written(client)


def test_argument_that_cannot_be_sent_is_refused_before_anything_is_sent(client):
    from awkward_tasks import takes

    with pytest.raises(EncodeError):
        enqueue_many(takes, [*[(1,)] * sending.CHUNK_MAX, (object(),)])
    assert not written(client)


def test_wrong_item_of_a_generator_is_refused_before_its_chunk_and_says_how_to_go_on(client):
    def given(last):
        yield from ((number,) for number in range(sending.CHUNK_MAX + 7))
        yield (last,)

    with pytest.raises(TypeError, match=r"arguments\[507\]: num must be .*; 500 tasks of batch 'g' are enqueued"):
        enqueue_many(print_square, given("ten"), name="g")
    assert client.llen("cpu") == sending.CHUNK_MAX
    batch = enqueue_many(print_square, given(10), name="g")
    assert (batch.enqueued, len(batch), client.llen("cpu")) == (8, 508, 508)


def test_error_of_the_callers_generator_passes_with_a_note(client):
    def given():
        yield from ((number,) for number in range(sending.CHUNK_MAX))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as raised:
        enqueue_many(print_square, given(), name="z")
    assert "with name='z'" in raised.value.__notes__[0]


def test_messages_are_those_that_delay_sends(client):
    """Except for what belongs to the batch, and to one message."""
    enqueue_many(print_square, [(3,)], priority=6, time_limit=9, headers={"mine": 1}, name="m")
    print_square.apply_async((3,), priority=6, time_limit=9, headers={"mine": 1}, task_id="m-0").forget()
    ours, celerys = (json.loads(text) for text in reversed(client.lrange("cpu:6", 0, -1)))
    assert ours["headers"].pop("group") == "batch:m"
    assert celerys["headers"].pop("group") is None
    ours["properties"].pop("delivery_tag")
    assert 0 <= celerys["properties"].pop("timestamp") - ours["properties"].pop("timestamp") < 60
    for name in ("delivery_tag", "argsrepr", "kwargsrepr"):  # these stand among the headers, too
        celerys["properties"].pop(name)
    assert ours == celerys


def test_ids_are_the_callers_or_count(client):
    assert enqueue_many(print_square, [(1,), (2,)], name="n").enqueued == 2
    assert enqueue_many(print_square, ((i,) for i in (1, 2)), ids=iter(["one", "zwölf"])).enqueued == 2
    assert ids_in(client) == ["n-0", "n-1", "one", "zwölf"]


def test_same_ids_are_enqueued_once_in_any_order(client):
    first = enqueue_many(print_square, [(1,), (2,), (1,)], ids=["a", "b", "a"], name="n")
    again = enqueue_many(print_square, [(3,), (2,), (1,)], ids=["c", "b", "a"], name="n")
    other = enqueue_many(print_square, [(1,)], ids=["a"], name="other")
    assert (first.enqueued, len(first), again.enqueued, len(again), other.enqueued) == (2, 2, 1, 3, 1)
    assert ids_in(client) == ["a", "b", "c", "a"]
    assert 0 < client.ttl("celery-taskset-meta-batch:n.sent") <= 86_400


def test_delayed_tasks_wait_in_redis_and_are_enqueued_once(client):
    for _ in range(2):
        enqueue_many(print_letters, [(), ()], name="later", countdown=3600)
    assert (client.zcard("delayed"), client.llen("io")) == (2, 0)


def test_no_task_is_a_batch_without_tasks(client):
    batch = enqueue_many(print_square, [])
    assert (len(batch), list(batch), bool(batch)) == (0, [], True)
    batch.wait(0)


@contextmanager
def producer(url, name, count, **more):
    """A process that enqueues so many tasks, five at a time; killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "tests/support/enqueuing_program.py", name, str(count)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": PYTHONPATH, "REDIS_URL": url, **more},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("twin", ["", "puts what was put"])
def test_killed_producer_that_enqueues_again_doubles_nothing(client, twin):
    with producer(os.environ["REDIS_URL"], "killed", 50_000, TWIN=twin) as first:
        wait_until(lambda: client.llen("cpu") > 50, what="some tasks")
        first.kill()
        first.wait()
    before = client.llen("cpu")
    with producer(os.environ["REDIS_URL"], "killed", before + 200, TWIN=twin) as second:
        said, _ = second.communicate(timeout=60)
        assert second.returncode == 0, said
    sent = ids_in(client)
    assert set(sent) == {f"killed-{number}" for number in range(before + 200)}
    assert (len(sent) == len(set(sent))) == (not twin)


def test_full_queue_holds_the_producer_back_until_it_is_shorter(client):
    longest, ended = [0], threading.Event()

    def consume():
        while not ended.is_set():
            longest[0] = max(longest[0], client.llen("cpu"))
            client.rpop("cpu", 10)

    thread = threading.Thread(target=consume)
    thread.start()
    try:
        batch = enqueue_many(print_square, ((number,) for number in range(300)), queue_max=20)
    finally:
        ended.set()
        thread.join()
    assert batch.enqueued == 300
    assert longest[0] <= 20


def test_queue_that_stays_full_is_one_line(client):
    with pytest.raises(QueueFullError, match=r"queue 'cpu' has 20 messages, .*; 20 tasks of batch 'full'") as raised:
        enqueue_many(print_square, [(number,) for number in range(21)], queue_max=20, timeout=0.2, name="full")
    assert "\n" not in str(raised.value)
    client.rpop("cpu")
    assert enqueue_many(print_square, [(number,) for number in range(21)], queue_max=20, name="full").enqueued == 1


def test_memory_of_the_producer_is_that_of_a_chunk(client):
    """Ten times as many tasks take no more; if it kept all messages, of a kilobyte each, it would take far more."""

    def peak(count):
        given = ((number % 1000,) for number in range(count))
        tracemalloc.start()
        enqueue_many(print_square, given, queue_max=None)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(500)
    assert peak(5_000) < peak(500) + 4_500 * 400


@pytest.fixture
def server(tmp_path):
    (tmp_path / "redis").mkdir()
    own = Server(tmp_path / "redis")
    yield own
    own.child.stop(0)


def enqueued(server, name):
    with server.client() as client:
        sent = ids_in(client)
    assert len(sent) == len(set(sent))
    return set(sent)


def test_redis_away_in_the_middle_is_waited_for(server):
    """And a restarted server has each task once."""
    with producer(server.url, "waits", 1500) as process:
        with server.client() as client:
            wait_until(lambda: client.llen("cpu") > 100, what="some tasks")
        server.away(1.0)
        said, _ = process.communicate(timeout=90)
    assert process.returncode == 0, said
    assert "Redis answers again" in said
    assert enqueued(server, "waits") >= {f"waits-{number}" for number in range(1000, 1500)}


def test_redis_away_for_good_is_one_line_and_can_go_on(server):
    with producer(server.url, "stops", 1500, OUTAGE="1.0") as process:
        with server.client() as client:
            wait_until(lambda: client.llen("cpu") > 100, what="some tasks")
        server.kill()
        said, _ = process.communicate(timeout=90)
    last = said.splitlines()[-1]
    assert last.startswith("OperationalError: no Redis answers at"), said
    assert "tasks of batch 'stops' are enqueued: with name='stops', the same call enqueues the others" in last
    server.start()
    with producer(server.url, "stops", 1500) as process:
        said, _ = process.communicate(timeout=90)
    assert process.returncode == 0, said
    assert enqueued(server, "stops") == {f"stops-{number}" for number in range(1500)}


def test_no_redis_at_all_is_said_at_once(server):
    server.kill()
    with producer(server.url, "never", 10) as process:
        said, _ = process.communicate(timeout=25)  # less than it waits for a Redis that was there
    assert said.splitlines()[-1].startswith("OperationalError: no Redis answers at"), said
    assert "of batch" not in said


def test_batch_of_a_name_is_found_by_another_process(client):
    enqueue_many(print_square, [(1,), (2,)], name="found")
    assert (len(Batch("found")), Batch("found").done(), len(Batch("unknown"))) == (2, 0, 0)
    Batch("found").forget()
    assert len(Batch("found")) == 0
