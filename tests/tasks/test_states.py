"""States of tasks that a worker stores many at a time: the latest of each arrives, and before its message goes."""

import json
import signal

import pytest
import redis
from awkward_tasks import counted, counted_coroutine
from celery.app.task import Context
from peers import plain, wait_until
from queue_workers import queue_worker

from tasks import app, print_square
from tasks.celery_app import batches
from tasks.celery_app.results import Backend
from tasks.celery_app.states import State, UnsentStates

QUEUE = "cpu"


@pytest.fixture
def client():
    with plain() as each:
        yield each


@pytest.fixture
def unsent(monkeypatch):
    """The backend's states, of which this test alone sends any."""
    monkeypatch.setattr(Backend, "unsent", None)
    yield app.backend.later(lambda: None)
    app.backend.client.delete(*(app.backend.get_key_for_task(id) for id in "abc"))


def stored(id):
    text = app.backend.client.get(app.backend.get_key_for_task(id))
    return text and json.loads(text)["status"]


def test_start_is_left_out_if_the_task_has_ended_meanwhile(unsent):
    app.backend.store_result("a", None, "STARTED")
    app.backend.store_result("b", None, "STARTED")
    app.backend.store_result("a", 1, "SUCCESS")
    assert len(unsent) == 2
    assert stored("a") is None
    unsent.send()
    assert (stored("a"), stored("b"), len(unsent)) == ("SUCCESS", "STARTED", 0)


def test_success_is_final_also_before_it_is_stored(unsent):
    app.backend.store_result("a", 1, "SUCCESS")
    app.backend.store_result("a", None, "STARTED")
    unsent.send()
    assert stored("a") == "SUCCESS"


def test_every_other_state_is_published_in_order(unsent, client):
    """The lines that tasks print are states."""
    keys = {id: app.backend.get_key_for_task(id).decode() for id in "ab"}
    told = [("a", "STARTED"), ("a", "PRINTED"), ("b", "PRINTED"), ("a", "PRINTED"), ("b", "FAILURE"), ("a", "SUCCESS")]
    with client.pubsub() as heard:
        heard.subscribe(*keys.values())
        assert [heard.get_message(timeout=5)["type"] for _ in keys] == ["subscribe"] * len(keys)
        for number, (id, state) in enumerate(told):
            app.backend.store_result(id, number, state)
        unsent.send()
        messages = [heard.get_message(timeout=5) for _ in told[1:]]
    assert [(each["channel"], json.loads(each["data"])["result"]) for each in messages] == [
        (keys[id], number) for number, (id, _) in enumerate(told) if number
    ]


def test_state_that_cannot_be_stored_holds_up_no_other(unsent, caplog):
    app.backend.client.lpush(app.backend.get_key_for_task("b"), "no text")
    for id in "abc":
        app.backend.store_result(id, 1, "SUCCESS")
    unsent.send()
    assert (stored("a"), stored("c"), len(unsent)) == ("SUCCESS", "SUCCESS", 0)
    assert "WRONGTYPE" in caplog.text


def test_state_that_makes_the_script_fail_holds_up_no_other(unsent, client, caplog):
    """The key of its batch's ends is of a wrong type."""
    request = Context(group="batch:broken")
    keys = batches.keys_of(app.backend, request.group)
    client.set(keys.ended, "no sorted set")
    app.backend.store_result("a", 1, "SUCCESS")
    app.backend.store_result("b", 1, "SUCCESS", request=request)
    app.backend.store_result("c", 1, "SUCCESS")
    unsent.send()
    client.delete(keys.ended)
    assert (stored("a"), stored("c"), len(unsent)) == ("SUCCESS", "SUCCESS", 0)
    assert "WRONGTYPE" in caplog.text


def test_state_that_cannot_be_stored_is_an_error_where_a_task_waits_for_it():
    key = app.backend.get_key_for_task("b")
    app.backend.client.lpush(key, "no text")
    try:
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            app.backend.store_result("b", 1, "SUCCESS")
    finally:
        app.backend.client.delete(key)


def test_states_wait_while_redis_does_not_take_them():
    """Also one that comes while a request is under way: the request has not stored it."""
    answers = [redis.ConnectionError("away"), None]
    sent = []

    def store(states):
        answer = answers.pop(0) if answers else None
        if answer is not None:
            raise answer
        if not sent:
            unsent.put(State("a", "ended", 0, "a"))
        sent.append([state.text for state in states])
        return [None] * len(states)

    unsent = UnsentStates(store, lambda: None)
    unsent.put(State("a", "started", 0, "a", passing=True))
    with pytest.raises(redis.ConnectionError):
        unsent.send()
    assert len(unsent) == 1
    unsent.send()
    assert sent == [["started"], ["ended"]]
    assert not len(unsent)


@pytest.mark.parametrize(
    ("lengths", "calls"),
    [([9] * 5, [5]), ([600_000] * 3, [1, 1, 1]), ([2_000_000, 9, 9], [1, 2]), ([9] * 450, [200, 200, 50])],
)
def test_one_call_has_a_bounded_number_and_size(lengths, calls):
    sent = []
    unsent = UnsentStates(lambda states: sent.append(len(states)) or [None] * len(states), lambda: None)
    for number, length in enumerate(lengths):
        unsent.put(State(str(number), "x" * length, 0, ""))
    unsent.send()
    assert sent == calls


class Refusing:
    """States that Redis does not take for now."""

    def __init__(self):
        self.refuses, self.asked = True, 0

    def __len__(self):
        return int(self.refuses)

    def send(self):
        self.asked += 1
        if self.refuses:
            raise redis.ConnectionError("away")


def test_message_is_acknowledged_only_when_the_result_is_stored(client):
    (id,) = [print_square.apply_async((2,)).id]
    connection = app.connection_for_read()
    deliveries = connection.default_channel.deliveries
    deliveries.states = states = Refusing()
    try:
        message = connection.default_channel.basic_get(QUEUE)
        assert message.headers["id"] == id
        message.ack()
        asked = states.asked
        wait_until(lambda: states.asked > asked + 1, what="two more attempts")
        assert client.hlen("unacked") == 1
        states.refuses = False
        wait_until(lambda: not client.hlen("unacked"), what="the acknowledgement")
    finally:
        deliveries.states = None
        connection.close()


@pytest.mark.parametrize(("queue", "task"), [("io", counted), ("aio", counted_coroutine)])
def test_worker_that_stops_stores_what_has_ended(client, tmp_path, queue, task):
    with queue_worker(tmp_path, queue, concurrency=50) as process:
        results = [task.apply_async((0.0,), queue=queue) for _ in range(100)]
        wait_until(lambda: "PENDING" not in {result.state for result in results[:10]}, within=60, what="the first ones")
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    ended = set(client.lrange("done", 0, -1))
    assert {result.id for result in results if result.state == "SUCCESS"} == ended
    assert client.llen(queue) + len(ended) == len(results)
    assert not client.hlen("unacked")
