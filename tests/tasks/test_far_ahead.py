"""A due time that is none, or lies too far ahead, is refused where the task is enqueued; any other waits in Redis."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from celery import chain, chord, group, signature
from celery.exceptions import QueueNotFound, Reject, Retry
from kombu.exceptions import EncodeError

from tasks import app, print_square
from tasks.celery_app.schedule import AHEAD_MAX

FAR = AHEAD_MAX + 60


def later(seconds):
    return datetime.now(UTC) + timedelta(seconds=seconds)


WAYS = {
    "countdown": lambda s: print_square.apply_async((1,), countdown=s),
    "eta": lambda s: print_square.apply_async((1,), eta=later(s)),
    "eta in another zone": lambda s: print_square.apply_async(
        (1,), eta=later(s).astimezone(timezone(timedelta(hours=-9)))
    ),
    "eta without a zone": lambda s: print_square.apply_async((1,), eta=later(s).replace(tzinfo=None)),
    "eta beside a countdown of 0": lambda s: print_square.apply_async((1,), countdown=0, eta=later(s)),
    "eta as text": lambda s: print_square.apply_async((1,), eta=later(s).isoformat()),
    "set": lambda s: print_square.s(1).set(countdown=s).delay(),
    "send_task": lambda s: app.send_task("tasks.cpu_bound.print_square", (1,), countdown=s),
    "send_task by position": lambda s: app.send_task("tasks.cpu_bound.print_square", (1,), {}, s),
    "signature by name": lambda s: signature("tasks.elsewhere", (1,), app=app, countdown=s, queue="cpu").delay(),
    "group": lambda s: group(print_square.s(1).set(countdown=s), print_square.s(2)).delay(),
    "later in a chain": lambda s: chain(print_square.si(1), print_square.si(1).set(countdown=s)).delay(),
    "link": lambda s: print_square.apply_async((1,), link=print_square.si(1).set(countdown=s)),
    "link_error": lambda s: print_square.apply_async((1,), link_error=[print_square.si(1).set(eta=later(s))]),
    "group in a chain": lambda s: chain(print_square.si(1), group(print_square.si(1).set(countdown=s))).delay(),
    "body of a chord": lambda s: chord([print_square.si(1)], print_square.si(1).set(countdown=s)).delay(),
}


@pytest.mark.parametrize("way", WAYS)
def test_task_that_would_wait_too_long_is_refused(client, way):
    with pytest.raises(ValueError, match="at most 315,360,000 seconds ahead, which is ten years"):
        WAYS[way](FAR)
    assert not client.exists("cpu", "io", "aio", "delayed")


@pytest.mark.parametrize("way", WAYS)
def test_task_that_waits_as_long_as_it_may_is_enqueued(client, way):
    WAYS[way](AHEAD_MAX - 5).forget()
    assert client.llen("cpu") + client.zcard("delayed") >= 1


@pytest.mark.parametrize(
    "when", [{"countdown": "5"}, {"countdown": float("nan")}, {"eta": "tomorrow"}, {"eta": 5}, {"countdown": True}]
)
def test_time_that_is_none_is_an_error_in_the_producer(client, when):
    with pytest.raises(TypeError, match=r"(countdown|eta) must be a "):
        print_square.apply_async((1,), **when)
    assert not client.exists("cpu", "delayed")


def test_endless_countdown_is_refused(client):
    with pytest.raises(ValueError, match="at most 315,360,000 seconds ahead"):
        print_square.apply_async((1,), countdown=float("inf"))


def test_time_that_is_over_is_let_through(client):
    print_square.apply_async((1,), countdown=-5).forget()
    print_square.apply_async((1,), eta=later(-5)).forget()
    assert client.llen("cpu") == 2


@app.task(bind=True, name="tests.retrying")
def retrying(self, **options):
    raise self.retry(**options)


def run(**options):
    """Run the task as a worker does, up to its retry; the error that its result would hold."""
    request = {"id": "retrying", "called_directly": False, "delivery_info": {"routing_key": "cpu"}, "retries": 0}
    retrying.push_request(args=(), kwargs=options, **request)
    try:
        retrying.run(**options)
    except Exception as error:
        return error
    finally:
        retrying.pop_request()


def test_retry_that_would_wait_too_long_fails_the_task(client):
    for when in ({"countdown": FAR}, {"eta": later(FAR)}, {"countdown": 0, "eta": later(FAR)}):
        assert "at most 315,360,000 seconds ahead" in str(run(**when))
    assert not client.exists("cpu", "delayed")


def test_retry_with_wrong_arguments_fails_the_task(client):
    error = run(args=(1, 2, 3))
    assert isinstance(error, TypeError), error
    assert not client.exists("cpu", "delayed")


@pytest.mark.parametrize(
    ("options", "error"), [({"kwargs": {"x": object()}}, EncodeError), ({"queue": "nowhere"}, QueueNotFound)]
)
def test_retry_that_can_never_be_sent_fails_the_task(client, options, error):
    """Given back to its queue, it would run again without end."""
    assert isinstance(run(**options), error)
    assert not client.exists("cpu", "delayed")


def test_retry_that_redis_does_not_take_now_goes_back_to_its_queue(client):
    client.config_set("maxmemory", 1)
    try:
        rejected = run(countdown=1)
    finally:
        client.config_set("maxmemory", 0)
    assert isinstance(rejected, Reject)
    assert rejected.requeue


def test_retry_soon_is_enqueued(client):
    assert isinstance(run(countdown=86_400), Retry)
    assert client.zcard("delayed") == 1
