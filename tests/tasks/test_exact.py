"""The tutorial's counting tasks are exact under redelivery: killed and run again, or run twice at once."""

import multiprocessing

import pytest
from peers import joined, peers, plain, wait_until

import interlock
from tasks import counting, shared_array

TIMES = 30_000


def meet():
    """Go on when both runs are here: the sections of one take less time than the start of the other."""
    with plain() as note:
        note.incr("here")
        wait_until(lambda: int(note.get("here")) >= 2)


def run(shared, step, id):
    with interlock.acting_for(id, "count"):
        counting.update_exactly(shared, shared.get_lock(), step, TIMES, id)


def run_together(*arguments):
    meet()
    run(*arguments)


def run_looking_once(shared, step, id):
    """The broken twin: looks at what is done when it begins, and not in each section."""
    done = interlock.Value("q", 0, name=f"{id} done", lock=shared.get_lock(), ttl=60)
    with interlock.acting_for(id, "count"):
        begun = done.value
        meet()
        for _ in range(begun, TIMES):
            with shared.get_lock():
                shared.value += step
                done.value += 1


@pytest.fixture
def shared():
    return interlock.Value("i", 0, lease=2.0, linger=None)


@pytest.mark.parametrize("function", [run_together, run_looking_once])
def test_task_that_is_delivered_twice_at_once_counts_once(shared, function):
    with peers(function, [(shared, 1, "up")] * 2, start=multiprocessing.get_start_method()) as processes:
        joined(processes)
    assert (shared.value == TIMES) == (function is run_together)


def test_task_that_is_killed_and_delivered_again_counts_once(shared):
    with peers(run, [(shared, 1, "up"), (shared, -1, "down")]) as processes:
        wait_until(lambda: shared.value)
        for process in processes:
            process.kill()
            process.join()
    with peers(run, [(shared, 1, "up"), (shared, -1, "down")]) as again:
        joined(again)
    assert shared.value == 0


def test_task_that_ran_to_its_end_does_nothing_when_it_is_delivered_again(shared):
    run(shared, 1, "up")
    run(shared, 1, "up")
    assert shared.value == TIMES


def count(histogram, stop, id):
    with interlock.acting_for(id, "count"):
        shared_array.count_exactly(histogram, 0, stop, id)


def count_together(*arguments):
    meet()
    count(*arguments)


def count_looking_once(histogram, stop, id):
    """The broken twin: looks at what is done when it begins, and not in each section."""
    lock = histogram.get_lock()
    done = interlock.Value("q", 0, name=f"{id} done", lock=lock, ttl=60)
    with interlock.acting_for(id, "count"):
        begun = done.value
        meet()
        for number in range(begun, stop):
            with lock:
                histogram[number * number % 10] += 1
                done.value += 1


@pytest.mark.parametrize("function", [count_together, count_looking_once])
def test_squares_that_are_counted_twice_at_once_are_counted_once(function):
    histogram = interlock.Array("i", 10, linger=None)
    with peers(function, [(histogram, 5000, "count")] * 2, start=multiprocessing.get_start_method()) as processes:
        joined(processes)
    once = [500, 1000, 0, 0, 1000, 500, 1000, 0, 0, 1000]
    assert (histogram[:] == once) == (function is count_together)
