"""What Flower and logs say that a task is called with."""

import json

import pytest
from celery import chain, group

import interlock
from tasks import add_item, app, increment_value, print_numbers, print_square, read_list


@pytest.fixture
def described(client):
    """The arguments as the message in the queue describes them."""

    def read(queue):
        return [json.loads(text)["headers"]["argsrepr"] for text in reversed(client.lrange(queue, 0, -1))]

    return read


def test_arguments_are_named_however_they_are_given(described):
    print_square.delay(3, pause=1.0)
    print_square.apply_async(kwargs={"pause": 0.5, "num": 4})
    print_numbers.delay()
    assert described("cpu") == ["(num=3, pause=1.0)", "(num=4, pause=0.5)"]
    assert described("io") == ["()"]


def test_primitives_are_their_kind_and_name(described):
    counter = interlock.Value("i", 0, name="orders")
    increment_value.delay(counter, 10)
    add_item.delay("shelf", interlock.Semaphore(3, name="a" * 40), 1)
    counter.unlink()
    assert described("cpu") == ["(shared=Value orders, times=10)"]
    assert described("io") == ["(items='shelf', slots=Semaphore aaaaaaaa…, item=1)"]


def test_long_arguments_are_cut(described):
    stay = {"host": "h", "pid": 1, "began": 0.0, "ended": 1.0}
    read_list.delay([stay] * 1000, "s" * 200)
    (said,) = described("io")
    assert said.startswith("(stays=[{...}, {...}, {...}, ...], items='sss")
    assert len(said) < 150


def test_members_of_groups_and_chains_are_described_too(described):
    group(print_square.s(n) for n in (1, 2)).delay()
    assert described("cpu") == ["(num=1)", "(num=2)"]
    chain(print_square.si(5), print_square.si(6)).delay()
    assert described("cpu")[-1] == "(num=5)"


def test_a_description_that_is_given_is_kept(described):
    """For arguments that nobody should read."""
    print_square.apply_async((3,), argsrepr="(hidden)")
    assert described("cpu") == ["(hidden)"]
    assert app.conf.task_default_queue == "cpu"
