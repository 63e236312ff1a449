"""The metrics of queues and locks on Flower's page of metrics."""

import json
import os
import subprocess
import sys

import pytest
import redis
from flowers import answer, asked, flower, ran
from peers import wait_until
from prometheus_client.parser import text_string_to_metric_families
from raw_messages import message

import interlock
from tasks.celery_app import app
from tasks.transport.counts import UNKNOWN, counts
from tasks.transport.scripts import Keys
from workers.flower.metrics import PATTERNS_MAX, pattern
from workers.local_stack.children import ROOT

KEYS = Keys.of(app)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A Flower on the test server, whose queues no worker serves."""
    with flower(tmp_path_factory.mktemp("flower")) as url:
        yield url


def metrics(url):
    """What the page says of ours: {(name, labels in order): value}."""
    found = {}
    for family in text_string_to_metric_families(asked(url, "/metrics")[1]):
        for sample in family.samples:
            if sample.name.startswith("interlock_"):
                found[(sample.name, *sample.labels.values())] = sample.value
    return found


def test_queues_are_counted_by_state_over_all_priorities(address, client):
    for number, options in enumerate(({}, {"priority": 3}, {"priority": 9}, {"countdown": 3600}, {"countdown": 3600})):
        app.send_task("tasks.cpu_bound.print_square", (number,), queue="cpu", **options)
    app.send_task("tasks.io_bound.sleep", (1,), queue="io")
    with app.connection() as connection:
        queue = connection.SimpleQueue("io", no_ack=False)
        taken = queue.get(timeout=10)
        wait_until(lambda: client.hlen("unacked") == 1)
        letter = {"reason": "none", "list": "aio", "wake": "aio:wake", "message": "", "seconds": 1}
        client.lpush("dead-letters", json.dumps(letter), json.dumps({**letter, "list": "cpu:3"}))
        found = metrics(address)
        taken.ack()
        wait_until(lambda: client.hlen("unacked") == 0)
        queue.close()
    by_queue = {
        queue: [found["interlock_queue_messages", queue, state] for state in ("queued", "delayed", "running", "dead")]
        for queue in ("cpu", "io", "aio")
    }
    assert by_queue == {"cpu": [3, 2, 0, 1], "io": [0, 0, 1, 0], "aio": [0, 0, 0, 1]}
    assert found[("interlock_redis_up",)] == 1
    ages = {queue: found["interlock_queue_oldest_message_age_seconds", queue] for queue in ("cpu", "io", "aio")}
    assert 0 < ages["cpu"] < 120
    assert (ages["io"], ages["aio"]) == (0, 0)


def test_age_of_the_oldest_grows_and_is_left_out_if_a_producer_did_not_note_it(client):
    def oldest():
        return counts(client_bytes, KEYS, ["cpu"], (0, 3, 6, 9))["cpu"].oldest

    with redis.Redis.from_url(client_url()) as client_bytes:
        assert oldest() == 0.0
        app.send_task("tasks.cpu_bound.print_square", (1,), queue="cpu")
        app.send_task("tasks.cpu_bound.print_square", (2,), queue="cpu", priority=6)
        first = oldest()
        wait_until(lambda: oldest() > first + 0.2)
        client.rpush("cpu", json.dumps(message("cpu", "stock")))
        assert oldest() is None


def client_url():
    return app.conf.broker_url


def test_delayed_messages_beyond_what_is_read_are_counted_without_a_queue(client):
    client.zadd("delayed", {f'["io","io:wake"]\n{{"n": {number}}}': 1e15 + number for number in range(5200)})
    with redis.Redis.from_url(client_url()) as client_bytes:
        found = counts(client_bytes, KEYS, ["io"], (0,))
    assert (found["io"].delayed, found[UNKNOWN].delayed) == (5000, 200)


def test_holders_and_waiters_are_counted_by_the_pattern_of_the_name_and_labels_are_bounded(address):
    locks = [interlock.Lock(name=f"report-{number}") for number in range(3)]
    letters = [chr(ord("g") + number // 18) + chr(ord("g") + number % 18) for number in range(PATTERNS_MAX + 20)]
    others = [interlock.Lock(name=f"l{letter}") for letter in letters]
    for lock in (*locks, *others):
        lock.acquire()
    waiter = subprocess.Popen(
        [sys.executable, "-c", "import interlock\nwith interlock.Lock(name='report-1'): pass"], cwd=ROOT
    )
    found = wait_until(
        lambda: (seen := metrics(address)).get(("interlock_waiters", "Lock", "report-*")) == 1 and seen, what="a waiter"
    )
    for lock in (*locks, *others):
        lock.release()
    assert waiter.wait(30) == 0
    assert found["interlock_holders", "Lock", "report-*"] == 3
    held = {key: value for key, value in found.items() if key[0] == "interlock_holders"}
    assert len(held) == PATTERNS_MAX + 1
    assert sum(held.values()) == len(locks) + len(others)
    interlock.close()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("report", "report"),
        ("user 17 of 4", "user * of *"),
        ("0f8fad5b-d9cb-469f-a165-70867728950e done", "* done"),
        ("d41d8cd98f00b204e9800998ecf8427e", "*"),
        ("a decade of 10", "a decade of *"),
        ("shared_resource-1f3c9a7be2", "shared_resource-*"),
    ],
)
def test_what_programs_make_up_in_names_is_no_label(name, shown):
    assert pattern(name) == shown


def test_page_without_redis_has_flowers_own_metrics_and_says_that_ours_are_missing(tmp_path, own_server):
    with flower(tmp_path, env={**os.environ, "REDIS_URL": own_server.url}) as url:
        assert metrics(url)[("interlock_redis_up",)] == 1
        own_server.child.stop(0)
        assert metrics(url) == {("interlock_redis_up",): 0}
        status, said = asked(url, "/locks/data")
        assert (status, "\n" in said.strip(), "redis" in said.lower()) == (503, False, True)
        assert answer(url, "/locks") == 200


def test_stack_shows_ours_beside_flowers(stack):
    ran(stack, "from tasks import print_square\nprint_square.delay(2).get(timeout=60)")
    text = asked(stack.flower_url, "/metrics")[1]
    assert "flower_events_total" in text
    assert 'interlock_queue_messages{queue="aio",state="queued"} 0.0' in text
