"""Messages that no worker can run: the task fails with the reason, or a dead letter says it, and the worker goes on."""

import json
import uuid

import pytest
from awkward_tasks import RESULTS, Awkward, nested, raises_awkward, results_in, takes
from celery.result import AsyncResult
from peers import plain, wait_until
from queue_workers import queue_worker
from raw_messages import message

from tasks import app


@pytest.fixture(scope="module", params=["cpu", "io", "aio"])
def worker(request, tmp_path_factory):
    """One worker of each queue for all messages."""
    with queue_worker(tmp_path_factory.mktemp(request.param), request.param, concurrency=2) as process:
        yield process
        assert process.poll() is None, process.log()


def deep(depth):
    """The text of lists in lists."""
    return "[" * depth + "]" * depth


def goes_on(client, worker):
    """The worker runs the next task; nothing comes back."""
    assert takes.apply_async((1,), queue=worker.queue).get(timeout=20) == 1
    wait_until(lambda: not client.hlen("unacked") and not client.llen(worker.queue), what="all acknowledged")
    assert worker.poll() is None


def letters(client):
    """The dead letters, the newest first: one is there soon after its task has failed."""
    wait_until(lambda: client.llen("dead-letters"), what="the dead letter")
    return [json.loads(each) for each in client.lrange("dead-letters", 0, -1)]


WRONG = {
    "nested 2000 deep": {"arguments": f"[{deep(2_000)}]"},
    "nested 100000 deep": {"arguments": f"[{deep(100_000)}]"},
    "a number of 5,000 digits": {"arguments": "[" + "9" * 5_000 + "]"},
    "no JSON": {"body": "[[], {}, {"},
    "no list of three": {"body": "[[], {}]"},
    "a number as body": {"body": "5"},
    "arguments that are none": {"body": "[5, 5, 5]"},
    "an unknown kind of content": {"content-type": "application/x-python-serialize"},
    "a kind that is none": {"content-type": ["x"]},
    "an unknown task": {"headers": {"task": "tests.unknown"}},
    "a due time that is none": {"headers": {"eta": "tomorrow"}},
    "a due time far away": {"headers": {"eta": "9999-99-99T00:00:00"}},
    "an end that is none": {"headers": {"expires": {"a": 1}}},
    "time limits that are texts": {"headers": {"timelimit": ["soon", "later"]}},
    "one time limit": {"headers": {"timelimit": [1]}},
    "a negative time limit": {"headers": {"timelimit": [-1, None]}},
    "retries that are a text": {"headers": {"retries": "many"}},
    "compressed by nobody": {"headers": {"compression": "application/x-zip"}},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_message_that_is_wrong_fails_its_task_with_the_reason(worker, wrong):
    id = str(uuid.uuid4())
    with plain() as client:
        client.lpush(worker.queue, json.dumps(message(worker.queue, id, **WRONG[wrong])))
        answer = AsyncResult(id, app=app).get(timeout=20, propagate=False)
        assert isinstance(answer, Exception)
        assert str(answer)
        assert letters(client)[0]["id"] == id
        goes_on(client, worker)


NAMELESS = {
    "no JSON": "{",
    "no text": b"\xff\xfe",
    "nested deep": deep(100_000),
    "a list": "[]",
    "nothing in it": "{}",
    "no properties": lambda queue: {**message(queue, "x"), "properties": {}},
    "bad base64": lambda queue: {**message(queue, "x"), "body": "!"},
    "an unknown encoding": lambda queue: message(queue, "x", properties={"body_encoding": "rot13"}),
    "headers that are a list": lambda queue: {**message(queue, "x"), "headers": [1]},
    "headers that are nested": lambda queue: message(queue, "x", headers={"x": nested(480), "task": None}),
    "no id": lambda queue: message(queue, None),
    "an id that is a list": lambda queue: message(queue, [1]),
    "no task": lambda queue: message(queue, "x", headers={"task": None}),
    "a task that is a list": lambda queue: message(queue, "x", headers={"task": ["x"]}),
    "no headers": lambda queue: {**message(queue, "x"), "headers": None},
}


@pytest.mark.parametrize("what", NAMELESS)
def test_message_of_no_known_task_ends_as_a_dead_letter_with_the_reason(worker, what):
    with plain() as client:
        made = NAMELESS[what]
        client.lpush(worker.queue, json.dumps(made(worker.queue)) if callable(made) else made)
        wait_until(lambda: client.llen("dead-letters") == 1, what="the letter")
        assert letters(client)[0]["reason"].count("Error") >= 1
        assert client.ttl("dead-letters") > 0
        goes_on(client, worker)
        assert client.llen("dead-letters") == 1


@pytest.mark.parametrize("depth", [100, 480, 700, 900])
def test_argument_that_is_nested_deeply_runs_or_fails_its_task(worker, depth):
    with plain() as client:
        result = takes.apply_async((nested(depth),), queue=worker.queue)
        answer = result.get(timeout=20, propagate=False)
        assert answer == 1 or isinstance(answer, Exception)
        assert result.state in ("SUCCESS", "FAILURE")
        assert depth != 480 or worker.queue != "cpu" or "nested" in str(answer), "no pipe takes it"
        goes_on(client, worker)


@pytest.mark.parametrize("where", ["exit", "repr"])
def test_argument_that_raises_fails_its_task_or_does_not_matter(worker, where):
    with plain() as client:
        result = takes.apply_async((Awkward(where),), queue=worker.queue)
        answer = result.get(timeout=20, propagate=False)
        assert answer == 1 if where == "repr" else "SystemExit(4)" in str(answer)
        goes_on(client, worker)


@pytest.mark.parametrize("what", RESULTS)
def test_result_that_cannot_be_stored_fails_its_task(worker, what):
    with plain() as client:
        result = results_in.apply_async((what,), queue=worker.queue)
        answer = result.get(timeout=20, propagate=False)
        assert result.state == "FAILURE"
        assert isinstance(answer, Exception)
        goes_on(client, worker)


def test_error_that_can_neither_be_pickled_nor_shown_fails_its_task(worker):
    with plain() as client:
        result = raises_awkward.apply_async(queue=worker.queue)
        result.get(timeout=20, propagate=False)
        assert result.state == "FAILURE"
        goes_on(client, worker)
