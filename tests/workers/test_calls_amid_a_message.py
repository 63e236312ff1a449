"""Calls of tasks as functions, amid another task's message: by its body, and by Celery's map and starmap."""

import pytest
from calling_tasks import again, counts, counts_and_dies, counts_anew_and_dies, fresh, speaks, vanishes
from peers import plain, wait_until
from queue_workers import queue_worker

import interlock
from tasks import increment_value, watch


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    """One worker of queue `cpu` for all."""
    with queue_worker(tmp_path_factory.mktemp("cpu"), "cpu", concurrency=2, include="calling_tasks") as process:
        yield process
        assert process.poll() is None, process.log()


@pytest.mark.usefixtures("worker")
def test_calls_count_once_when_their_task_runs_again():
    """What had been counted before the process was killed is not counted again; equal calls are two all the same."""
    shared = fresh()
    counts.delay(shared, "killed amid calls").get(timeout=60)
    assert shared.value == 11


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("task", [counts_and_dies, counts_anew_and_dies])
def test_items_of_starmap_count_once_when_their_message_is_delivered_again(task):
    shared = fresh()
    items = [(shared, 7, None), (shared, 7, f"killed amid {task.name}"), (shared, 7, None)]
    task.starmap(items).delay().get(timeout=60)
    assert (shared.value == 21) == (task is counts_and_dies)


@pytest.mark.usefixtures("worker")
def test_equal_messages_count_each():
    shared = fresh()
    for result in [increment_value.starmap([(shared, 2)] * 2).delay() for _ in range(2)]:
        result.get(timeout=60)
    assert shared.value == 8


@pytest.mark.usefixtures("worker")
def test_task_that_calls_itself_keeps_its_lock():
    """The end of the inner call is not the end of the task, and the inner call has no id."""
    result = again.delay(interlock.Lock(), interlock.Lock())
    held, (outer, inner) = result.get(timeout=60)
    assert held
    assert outer == result.id
    assert inner is None


@pytest.mark.usefixtures("worker")
def test_lines_of_starmaps_items_arrive_where_it_was_enqueued():
    _, lines = watch(speaks.starmap([("one",), ("two",)]).delay(), timeout=60)
    assert [line.text for line in lines] == ["one", "two"]


def test_task_whose_worker_vanishes_waits_for_as_long_as_it_says(worker):
    """A day, here; run at once instead, it would never be counted as a retry."""
    result = vanishes.delay()
    with plain() as client:
        wait_until(lambda: result.state == "RETRY", within=30, what="the retry")
        wait_until(lambda: client.zcard("delayed") == 1 and not client.hlen("unacked"), what="its place in Redis")
        assert client.llen("begun") == 1, worker.log()
        result.revoke()
