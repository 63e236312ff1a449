"""Arguments are checked where they enter: in the producer, before anything is enqueued."""

import pytest
from celery import group

import interlock
from tasks import (
    add_item,
    app,
    await_event,
    consume,
    count_last_digits,
    count_primes,
    get_items,
    go_rounds,
    increment_unlocked,
    increment_value,
    increment_with_lock,
    print_numbers,
    print_square,
    produce,
    put_items,
    receive_items,
    send_items,
)


def buffer(size=3, lock=None):
    """A buffer's parts; its slots may be guarded by another lock than the rest."""
    own = interlock.Lock()
    put, taken = interlock.Value("i", lock=own), interlock.Value("i", lock=own)
    return interlock.Condition(own), interlock.Array("i", size, lock=lock or own), put, taken


def nothing_enqueued(client):
    return not client.exists("cpu", "io")


@pytest.mark.parametrize(
    ("enqueue", "error", "text"),
    [
        (lambda: print_square.delay("ten"), TypeError, "num must be a whole number from"),
        (lambda: print_square.delay(True), TypeError, "num must be a whole number from"),
        (lambda: print_square.delay(10**12), ValueError, "num must be a whole number from"),
        (lambda: print_square.delay(), TypeError, "missing a required argument: 'num'"),
        (lambda: print_square.delay(1, 2, 3), TypeError, "too many positional arguments"),
        (lambda: print_square.apply_async((1,), {"pause": -1}), ValueError, "pause must be 0 to 60 seconds, not -1"),
        (lambda: print_numbers.delay(float("nan")), ValueError, "pause must be 0 to 60 seconds"),
        (lambda: print_numbers.delay("1"), TypeError, "pause must be 0 to 60 seconds"),
        (lambda: count_primes.delay(10, 5), ValueError, "stop must be a whole number from 10"),
        (lambda: count_primes.delay(0, 10**9), ValueError, "stop must be a whole number from 0 to 10,000,000"),
        (lambda: increment_value.delay(7, 5), TypeError, "shared must be an interlock.Value"),
        (lambda: increment_unlocked.delay(None), TypeError, "shared must be an interlock.RawValue"),
        (lambda: add_item.delay("", interlock.Semaphore(3), 1), ValueError, "items must be the name of a list"),
        (lambda: add_item.delay("x", 3, 1), TypeError, "slots must be an interlock.Semaphore"),
        (lambda: produce.delay(1, 2, 3, 4, 0, 5), TypeError, "changed must be an interlock.Condition"),
        (lambda: produce.delay(*buffer(), 0, 0), ValueError, "items must be a whole number from 1 to 10,000, not 0"),
        (lambda: produce.delay(*buffer(), "0", 1), TypeError, "first must be a whole number from"),
        (lambda: produce.delay(*buffer(size=0), 0, 1), ValueError, "slots must be an interlock.Array of 1 element"),
        (lambda: consume.delay(*buffer(lock=interlock.Lock()), 1), ValueError, "must be guarded by the lock of chang"),
        (lambda: consume.delay(*buffer(), 1, pause=61), ValueError, "pause must be 0 to 60 seconds, not 61"),
        (lambda: put_items.delay(interlock.Pipe()[0], 1), TypeError, "channel must be an interlock.Queue"),
        (lambda: put_items.delay(interlock.Queue(), -1), ValueError, "items must be a whole number from 0 to 10,000"),
        (lambda: get_items.delay("queue"), TypeError, "channel must be an interlock.Queue, not 'queue'"),
        (lambda: send_items.delay(interlock.Pipe(False)[0], 1), ValueError, "writer must be an end of a Pipe that se"),
        (lambda: send_items.delay(interlock.Queue(), 1), TypeError, "writer must be an interlock.Connection"),
        (lambda: receive_items.delay(interlock.Pipe(False)[1]), ValueError, "reader must be an end of a Pipe that re"),
        (lambda: count_last_digits.delay([0] * 10, 0, 5), TypeError, "histogram must be an interlock.Array"),
        (lambda: count_last_digits.delay(interlock.Array("i", 9), 0, 5), ValueError, "of 10 elements, not of 9"),
        (lambda: count_last_digits.delay(interlock.Array("i", 10), 5, 4), ValueError, "stop must be a whole number"),
        (lambda: await_event.delay(True), TypeError, "go must be an interlock.Event, not True"),
        (lambda: go_rounds.delay(interlock.Event(), 1), TypeError, "line must be an interlock.Barrier"),
        (lambda: go_rounds.delay(interlock.Barrier(2), 0), ValueError, "rounds must be a whole number from 1 to 1,00"),
    ],
)
def test_wrong_argument_is_an_error_in_the_producer(client, enqueue, error, text):
    with pytest.raises(error, match=text):
        enqueue()
    assert nothing_enqueued(client)


@pytest.mark.parametrize("times", [0, -5, 10**9, 1.5, "100", None, True])
def test_wrong_count_is_an_error_in_the_producer(client, times):
    value = interlock.Value("i", 0)
    with pytest.raises((TypeError, ValueError), match=r"times must be a whole number from 1 to 10,000,000, not"):
        increment_value.delay(value, times)
    assert nothing_enqueued(client)


def test_lock_that_does_not_guard_the_value_is_an_error(client):
    value = interlock.Value("i", 0)
    with pytest.raises(ValueError, match="lock must be the one that guards shared"):
        increment_with_lock.delay(value, interlock.Lock(), 5)
    assert nothing_enqueued(client)


def test_group_with_one_wrong_member_enqueues_none(client):
    with pytest.raises(ValueError, match="num must be"):
        group(print_square.s(1), print_square.s(10**12)).delay()
    assert nothing_enqueued(client)


def test_signature_that_is_not_complete_yet_may_be_made():
    partial = print_square.s()
    with pytest.raises(ValueError, match="num must be"):
        partial.delay(10**12)


def test_tasks_go_to_the_queue_of_their_kind(client):
    result = print_square.delay(2), print_numbers.delay(0)
    assert (client.llen("cpu"), client.llen("io")) == (1, 1)
    for each in result:
        each.forget()


def test_misspelt_queue_is_an_error(client):
    with pytest.raises(Exception, match="gpu"):
        print_square.apply_async((1,), queue="gpu")
    assert nothing_enqueued(client)


def test_task_called_directly_runs_here(capsys):
    assert print_square(3)["square"] == 9
    assert "Square: 9" in capsys.readouterr().out


def test_primes_are_counted():
    assert count_primes(0, 100) == 25
    assert count_primes(100, 1000) == 143
    far = range(999_999_000, 1_000_000_000)
    assert count_primes(far.start, far.stop) == sum(all(n % d for d in range(2, 31_623)) for n in far)
    assert count_primes(2, 2) == count_primes(0, 2) == 0


def test_app_takes_json_only():
    assert app.conf.accept_content == ["json"]
    assert app.conf.task_serializer == app.conf.result_serializer == "json"


def test_unlocked_updates_that_nobody_disturbs_overwrite_nothing():
    """The claim of the race can fail: alone, a task loses no update."""
    shared = interlock.RawValue("i", 0)
    assert increment_unlocked(shared, 50)["overwrote"] == 0
    assert shared.value == 50
