"""Results that Python writes as JSON and stricter parsers refuse are stored all the same."""

import json
import math

import pytest
from celery import states
from celery.backends.redis import RedisBackend

from tasks import app


def nested(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


AWKWARD = {
    "half a surrogate pair": "caf\udce9.txt",
    "the other half": "\ud83d",
    "not a number": math.nan,
    "infinity": -math.inf,
    "more levels than cjson's thousand": 450,
    "a NUL": "a\x00b",
    "a large number": 2**80,
    "what looks like a state": '{"status": "SUCCESS"',
    "a state of its own": {"status": "SUCCESS", "result": None},
}


@pytest.fixture
def store():
    """Store states of one task; what is kept in the end, as it is in Redis."""
    key = app.backend.get_key_for_task("awkward")

    def stored(*found):
        for state, result in found:
            app.backend.store_result("awkward", result, state)
        return json.loads(app.backend.client.get(key))

    yield stored
    app.backend.client.delete(key)


@pytest.mark.parametrize("name", AWKWARD)
def test_success_replaces_a_state_with_awkward_contents(store, name):
    result = AWKWARD[name]
    kept = store((states.STARTED, result), (states.SUCCESS, result), (states.STARTED, "a second run"))
    assert kept["status"] == states.SUCCESS
    assert kept["result"] == result or result is AWKWARD["not a number"]


@pytest.mark.parametrize("name", AWKWARD)
def test_state_that_is_none_of_success_is_replaced_whatever_it_holds(store, name):
    assert store((states.STARTED, AWKWARD[name]), (states.FAILURE, "failed"))["status"] == states.FAILURE


def test_success_that_plain_celery_stored_is_kept(store):
    RedisBackend(app=app, url=app.conf.broker_url).store_result("awkward", "theirs", states.SUCCESS)
    assert store((states.STARTED, "ours"))["result"] == "theirs"


def test_plain_celery_reads_what_we_stored(store):
    store((states.SUCCESS, "caf\udce9.txt"))
    assert RedisBackend(app=app, url=app.conf.broker_url).get_result("awkward") == "caf\udce9.txt"
