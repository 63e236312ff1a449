"""A group with one wrong member enqueues none, wherever the member stands and whatever is wrong."""

import pytest
from celery import chain, chord, group, signature

from tasks import app, count_primes, print_square, sum_counts
from tasks.celery_app.schedule import AHEAD_MAX

FAR = AHEAD_MAX + 60
GOOD = print_square.s(1)


def numbers_alone(x):
    if not isinstance(x, int):
        raise TypeError(f"x must be an int, not {x!r}")


@app.task(name="tests.takes_a_number", check=numbers_alone)
def takes_a_number(x):
    """Its check knows nothing of arguments that come later."""


def far(made):
    return made.set(countdown=FAR)


WRONG = {
    "missing": (lambda: group(GOOD, print_square.s()), "missing a required argument"),
    "by name": (lambda: group(GOOD, print_square.s(num="ten")), "num must be"),
    "of a check of one's own": (lambda: group(takes_a_number.s(1), takes_a_number.s("one")), "x must be an int"),
    "too far ahead": (lambda: group(GOOD, far(print_square.s(2))), "seconds ahead"),
    "in a group within": (lambda: group(GOOD, group(GOOD, count_primes.s(5))), "missing a required argument"),
    "first in a chain": (lambda: group(GOOD, chain(print_square.s(), sum_counts.si([]))), "missing a required"),
    "later in a chain": (lambda: group(GOOD, chain(GOOD, far(print_square.si(1)))), "seconds ahead"),
    "in the header of a chord": (lambda: chord([GOOD, print_square.s()], sum_counts.s()), "missing a required"),
    "in a chord within": (lambda: group(GOOD, chord([GOOD, print_square.s()], sum_counts.s())), "missing a required"),
    "its link": (lambda: group(GOOD, print_square.s(1).on_error(far(print_square.si(1)))), "seconds ahead"),
    "by its dict": (lambda: group([dict(GOOD), dict(print_square.s())], app=app), "missing a required"),
    "from a generator": (lambda: group(print_square.s(num=n) for n in (1, "ten")), "num must be"),
    "item of starmap": (lambda: count_primes.starmap([(0, 10), (10, 0)]), "stop must be"),
    "item of map": (lambda: print_square.map([1, "ten"]), "num must be"),
    "item of chunks": (lambda: count_primes.chunks([(0, 10), (10, 0)], 1), "stop must be"),
    "items that are none": (lambda: count_primes.starmap([(0, 10), 5]), "must be"),
}


@pytest.mark.parametrize("name", WRONG)
def test_group_with_a_wrong_member_enqueues_none(client, name):
    make, text = WRONG[name]
    with pytest.raises((TypeError, ValueError), match=text):
        make().delay()
    assert not client.exists("cpu", "io", "aio")


def test_group_whose_members_are_completed_late_is_judged_when_complete(client):
    with pytest.raises(TypeError, match="num must be"):
        group(print_square.s(), print_square.s(pause=1.0)).delay("ten")
    assert not client.exists("cpu")
    group(print_square.s(), print_square.s(pause=1.0), print_square.si(3)).delay(2).forget()
    assert client.llen("cpu") == 3


def test_argument_that_is_given_anew_by_name_is_judged_in_the_end(client):
    print_square.s(num="ten").delay(num=3).forget()
    assert client.llen("cpu") == 1


def test_right_ones_of_all_kinds_are_enqueued(client):
    parts = [count_primes.s(0, 100), count_primes.s(100, 1000)]
    group(GOOD, chain(GOOD, sum_counts.si([])), chord(parts, sum_counts.s()), group(GOOD, GOOD)).delay().forget()
    assert client.llen("cpu") == 6
    count_primes.chunks([(0, 10), (10, 20)], 1).delay()
    print_square.map(iter([1, 2])).delay()
    count_primes.starmap(n for n in [(0, 10)]).delay()
    group(signature("tests.elsewhere", (1,), app=app, queue="cpu"), GOOD).delay()
    assert client.llen("cpu") == 12
    group().delay()
    group(chain()).delay()
