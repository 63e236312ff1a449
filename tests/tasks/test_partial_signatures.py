"""A signature is checked when it is complete: when it is enqueued, and in the worker."""

import subprocess
import sys

import pytest
from celery import chain, chord, group

import interlock
from tasks import app, count_primes, increment_with_lock, print_square
from workers.local_stack.children import ROOT


@app.task(name="tests.add", check=None)
def add(x, y):
    return x + y


def numbers_alone(x, y):
    if not isinstance(x, int) or not isinstance(y, int):
        raise TypeError(f"x and y must be int, not {x!r} and {y!r}")


@app.task(name="tests.add_numbers", check=numbers_alone)
def add_numbers(x, y=0):
    return x + y


@pytest.mark.parametrize("task", [add, add_numbers, count_primes, increment_with_lock], ids=lambda task: task.name)
def test_signature_without_its_arguments_may_be_made(task):
    for made in (task.s(), task.signature(), task.subtask()):
        assert made.task == task.name
    task.map([1])
    task.starmap([(1, 2)])
    task.chunks([(1, 2)], 1)
    print_square.s(1).on_error(task.s())
    chord([print_square.s(1)], task.s()).on_error(task.s())


def test_arguments_may_come_later_in_front_and_by_name(client):
    """All these are enqueued, and none of them runs here."""
    for made, args, kwargs in (
        (add.s(), (1, 2), {}),
        (add.s(2), (1,), {}),
        (add.s(y=2), (1,), {}),
        (add.s(), (), {"x": 1, "y": 2}),
        (add_numbers.s(2), (1,), {}),
        (count_primes.s(), (0, 10), {}),
        (count_primes.s(10), (0,), {}),
    ):
        made.delay(*args, **kwargs).forget()
        made.clone(args, kwargs).delay().forget()
    assert client.llen("cpu") == 14


def test_check_that_knows_nothing_of_later_arguments_judges_no_partial(client):
    """`text` stands where `x` does as long as nothing is added in front of it."""
    made = add_numbers.s("text")
    with pytest.raises(TypeError, match="must be int"):
        made.delay(1)
    assert not client.exists("cpu")


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: add.s(1, 2, 3), TypeError),
        (lambda: add.s(1, z=3), TypeError),
        (lambda: add.si(1), TypeError),
        (lambda: add_numbers.si("text"), TypeError),
        (lambda: print_square.s("ten", 0), TypeError),
        (lambda: print_square.s(10**12), ValueError),
        (lambda: count_primes.s(-1, 5), ValueError),
        (lambda: increment_with_lock.s(interlock.Value("i"), interlock.Lock(), 5), ValueError),
    ],
)
def test_signature_that_nothing_could_make_right_is_an_error_at_once(make, error):
    with pytest.raises(error):
        make()


def test_complete_signature_is_checked_when_it_is_enqueued(client):
    for made in (add.s(1), count_primes.s(5)):
        with pytest.raises(TypeError, match="missing a required argument"):
            made.delay()
    with pytest.raises(ValueError, match="stop must be"):
        count_primes.s(5).delay(10)
    assert not client.exists("cpu")


def test_signatures_of_all_kinds_run_in_a_worker(stack):
    code = """
from celery import chain, chord, group, signature
from tasks import count_primes, print_square, sum_counts
print(count_primes.s().delay(0, 100).get(timeout=60))
print(sum(count_primes.starmap([(0, 100), (100, 1000)]).delay().get(timeout=60)))
print(sum(map(sum, count_primes.chunks([(0, 100), (100, 1000)], 1).delay().get(timeout=60))))
print(count_primes.apply_async((0, 10), link_error=count_primes.s()).get(timeout=60))
parts = [count_primes.s(0, 100), count_primes.s(100, 1000)]
print(chord(parts, sum_counts.s()).on_error(count_primes.s()).delay().get(timeout=60))
print(chain(group(parts), sum_counts.s()).delay().get(timeout=60))
print(signature(dict(count_primes.s(100))).delay(0).get(timeout=60))
"""
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=stack.env, capture_output=True, text=True, timeout=180
    )
    assert said.returncode == 0, said.stderr
    assert said.stdout.split() == ["25", "168", "168", "4", "168", "168", "25"]


def test_group_and_chain_take_members_that_are_not_complete():
    group(add.s(), add.s(1))
    chain(add.s(1, 2), add.s(3))
    chain(add.s(1, 2), group(add.s(3), add.s(4)))
