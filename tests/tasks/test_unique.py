"""Unique tasks: enqueued once while queued or running, and free again after the end, a failure, or a dead letter."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from awkward_tasks import counted, held_up
from calling_tasks import echoes
from peers import wait_until, written

from interlock._protocol.scripts import Script
from tasks import app, print_square
from tasks.transport import scripts

GUARD = "if holder then return holder end"
KEY = "celery-taskset-meta-unique:tests.awkward.held_up:report-7"


def held(**options):
    return held_up.apply_async(queue="io", unique="report-7", **options)


def test_second_one_is_the_first_while_it_is_queued_and_while_it_runs(worker, client):
    first = held()
    assert held().id == first.id
    wait_until(lambda: client.llen("begun"), what="the task's start")
    second = held()
    assert (second.id, client.llen("io")) == (first.id, 0)
    client.rpush("go", 1)
    assert second.get(timeout=60) == first.id
    assert not client.exists(KEY)
    assert held().id != first.id
    wait_until(lambda: client.llen("done") == 2, what="the next one's end")


def test_other_names_and_other_tasks_are_not_held_back(client):
    ids = [print_square.apply_async((1,), unique=name).id for name in ("a", "b", "a")]
    other = echoes.apply_async(("text",), queue="cpu", unique="a")
    assert (len(set(ids)), client.llen("cpu")) == (2, 3)
    assert other.id not in ids
    print_square.apply_async((1,)).forget()
    assert client.llen("cpu") == 4


@pytest.mark.parametrize("twin", [False, True])
def test_many_at_once_enqueue_one(client, monkeypatch, twin):
    if twin:
        text = scripts.script("put_unique").text
        assert GUARD in text
        broken = Script(text.replace(GUARD, ""), "no digest of it")
        real = scripts.script
        monkeypatch.setattr(scripts, "script", lambda name: broken if name == "put_unique" else real(name))
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: print_square.apply_async((1,), unique="same").id, range(40)))
    assert (len(ids) == 1, client.llen("cpu") == 1) == (not twin, not twin)


def test_failure_frees_the_name(worker, client):
    bad = echoes.apply_async(("bad", True), queue="io", unique="x")
    with pytest.raises(ValueError, match="bad"):
        bad.get(timeout=60)
    wait_until(lambda: not client.exists("celery-taskset-meta-unique:tests.calling.echoes:x"), what="the name is free")
    assert echoes.apply_async(("good",), queue="io", unique="x").get(timeout=60) == "good"


@app.task(name="tests.unknown_and_unique")
def unknown():
    """No worker knows it."""


def test_dead_letter_frees_the_name(worker, client):
    first = unknown.apply_async(queue="io", unique="x")
    wait_until(lambda: client.llen("dead-letters"), what="the dead letter")
    assert not client.keys("celery-taskset-meta-unique:*")
    assert unknown.apply_async(queue="cpu", unique="x").id != first.id


def test_delayed_one_holds_the_name_for_a_day_after_it_is_due(client):
    ids = {print_square.apply_async((1,), unique="later", countdown=7200).id for _ in range(2)}
    assert (len(ids), client.zcard("delayed")) == (1, 1)
    (key,) = client.keys("celery-taskset-meta-unique:*")
    assert 86_400 < client.ttl(key) <= 86_400 + 7200


def test_retry_names_the_key(client):
    """So that the end of the last attempt frees it."""
    print_square.apply_async((1,), unique="again").forget()
    headers = json.loads(client.lindex("cpu", 0))["headers"]
    print_square.push_request(
        **headers, args=(1,), kwargs={}, called_directly=False, delivery_info={"routing_key": "cpu"}
    )
    try:
        assert print_square.signature_from_request().options["headers"] == {"unique": headers["unique"]}
    finally:
        print_square.pop_request()


def test_signature_and_coroutine_may_be_unique(client):
    made = print_square.s(1).set(unique="s")

    async def main():
        return await print_square.aapply_async((1,), unique="s")

    assert made.delay().id == made.delay().id == asyncio.run(main()).id
    assert client.llen("cpu") == 1


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"unique": ""}, "unique must be 1 to 200 characters"),
        ({"unique": 7}, "unique must be a text"),
        ({"unique": "x" * 201}, "unique must be 1 to 200 characters"),
        ({"unique": "\udc80"}, "UTF-8 can hold"),
        ({"unique": "x", "ignore_result": True}, "a unique task needs a result"),
    ],
)
def test_wrong_name_is_refused_and_enqueues_nothing(client, options, text):
    with pytest.raises((TypeError, ValueError), match=text):
        counted.apply_async((0.0,), queue="cpu", **options)
    assert not written(client)
