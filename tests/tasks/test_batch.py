"""A batch on a real worker: each outcome comes once, in any order, to threads and coroutines, in few round trips."""

import asyncio
import json
import os
import subprocess
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor

import celery.exceptions
import pytest
from awkward_tasks import counted, held_up, takes
from calling_tasks import echoes
from paths import PYTHONPATH
from peers import wait_until
from servers import Server

from tasks import Batch, app, enqueue_many
from tasks.enqueuing import following
from workers.local_stack.children import ROOT


def enqueued(count, **options):
    return enqueue_many(echoes, [(f"text {number}",) for number in range(count)], queue="io", **options)


def test_every_outcome_comes_once_as_tasks_end(worker, client):
    batch = enqueued(700)
    outcomes = list(batch.outcomes(timeout=60))
    assert sorted(outcome.id for outcome in outcomes) == sorted(f"{batch.name}-{number}" for number in range(700))
    assert sorted(outcome.get() for outcome in outcomes) == sorted(f"text {number}" for number in range(700))
    assert (batch.done(), len(batch), batch.enqueued) == (700, 700, 700)
    assert {outcome.id for outcome in batch} == {outcome.id for outcome in outcomes}, "a second time, too"


def test_first_outcome_comes_before_the_last_task_ends(worker, client):
    first, last = enqueued(1, name="both"), enqueue_many(held_up, [()], queue="io", name="both", ids=["held"])
    outcomes = last.outcomes(timeout=60)
    assert next(outcomes).id == "both-0"
    assert (last.done(), len(last), len(first)) == (1, 2, 1)
    client.rpush("go", 1)
    assert next(outcomes).id == "held"
    assert next(outcomes, None) is None


def test_results_need_few_round_trips_and_one_subscription(worker, client):
    batch = enqueued(1200)
    batch.wait(60)
    before = client.info("stats")["total_commands_processed"]
    assert sum(1 for _ in batch) == 1200
    assert client.info("stats")["total_commands_processed"] - before < 100
    before = set(client.pubsub_channels("celery-task-meta-*"))  # of earlier tests, whose results are still there
    waiting = enqueue_many(held_up, [()] * 3, queue="io")
    own = f"celery-task-meta-batch:{waiting.name}"
    with ThreadPoolExecutor() as pool:
        ended = pool.submit(waiting.wait, 60)
        wait_until(lambda: own in client.pubsub_channels("celery-task-meta-*"), what="the subscription")
        assert set(client.pubsub_channels("celery-task-meta-*")) - before == {own}
        client.rpush("go", 1)
        ended.result(60)


def test_failure_is_an_outcome_with_the_traceback_of_the_worker(worker, client):
    batch = enqueue_many(echoes, [("good",), {"text": "bad", "fail": True}], queue="io", ids=["good", "bad"])
    ended = {outcome.id: outcome for outcome in batch.outcomes(timeout=60)}
    assert (ended["good"].ok, ended["bad"].ok, ended["bad"].state) == (True, False, "FAILURE")
    with pytest.raises(ValueError, match="bad") as raised:
        ended["bad"].get()
    said = "".join(traceback.format_exception(raised.value))
    assert "calling_tasks.py" in said
    assert "raise ValueError(text)" in said


def test_message_that_no_worker_can_run_is_an_outcome(worker, client):
    """The worker does not know the task; so the message is a dead letter, and the batch does not wait for it."""

    @app.task(name="tests.unknown_to_the_worker", queue="io")
    def unknown():
        pass

    (outcome,) = enqueue_many(unknown, [()]).outcomes(timeout=60)
    assert isinstance(outcome.error, celery.exceptions.NotRegistered)


def test_wait_ends_when_all_have_ended_and_not_before(worker, client):
    enqueue_many(counted, [(0.0,)], queue="io", name="wait", ids=["short"])
    batch = enqueue_many(held_up, [()], queue="io", name="wait", ids=["long"])
    with pytest.raises(celery.exceptions.TimeoutError, match="after 2 s, 1 tasks of batch") as raised:
        batch.wait(timeout=2)
    assert "\n" not in str(raised.value)
    with pytest.raises(celery.exceptions.TimeoutError):
        list(batch.outcomes(timeout=0.1))
    client.rpush("go", 1)
    batch.wait(timeout=60)
    assert batch.done() == 2


def test_ends_are_heard_of_at_once(worker, client, monkeypatch):
    """By the subscription: the look that comes once a second does not come here."""
    monkeypatch.setattr(following, "ENDS_LOOK_EVERY", 50.0)
    monkeypatch.setattr("tasks.enqueuing.batch.ENDS_LOOK_EVERY", 50.0)
    batch = enqueue_many(counted, [(0.3,), (0.6,), (0.9,)], queue="io")
    assert sum(1 for _ in batch.outcomes(timeout=40)) == 3


def test_task_that_ran_twice_is_one_outcome(worker, client):
    """Its message comes a second time, as after the loss of its worker."""
    batch = enqueue_many(takes, [(1,), (2,)], queue="cpu")  # where no worker takes them
    message = client.lindex("cpu", -1)
    for _ in range(2):
        client.lpush("io", message)
    client.lmove("cpu", "io", "LEFT", "LEFT")
    batch.wait(60)
    wait_until(lambda: not client.exists("io", "unacked"), what="the second run's end")
    assert sorted(outcome.id for outcome in batch) == [f"{batch.name}-0", f"{batch.name}-1"]


def test_result_that_is_forgotten_is_said_to_be_gone(worker, client):
    batch = enqueued(2, name="gone")
    batch.wait(60)
    client.delete("celery-task-meta-gone-0")
    ended = {outcome.id: outcome for outcome in batch.outcomes(timeout=10)}
    assert ended["gone-1"].ok
    with pytest.raises(LookupError, match="the result of task gone-0 is gone"):
        ended["gone-0"].get()


def test_forgotten_batch_leaves_nothing_and_its_name_is_free(worker, client):
    batch = enqueued(600, name="again")
    batch.wait(60)
    batch.forget()
    wait_until(lambda: not client.exists("unacked"), what="the acknowledgements")
    assert not client.keys("celery-task*")
    assert enqueued(1, name="again").enqueued == 1
    Batch("again").wait(60)


def test_ignored_results_cannot_be_waited_for(client):
    batch = enqueue_many(echoes, [("unread",)], queue="cpu", ignore_result=True)
    for wait in (batch.wait, batch.outcomes, batch.__iter__, batch.__aiter__):
        with pytest.raises(RuntimeError, match="are ignored"):
            wait()
    assert json.loads(client.lindex("cpu", 0))["headers"]["ignore_result"] is True


def test_coroutine_gets_outcomes_while_others_run(worker, client):
    async def main():
        turns = 0

        async def count():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0.01)

        counting = asyncio.create_task(count())
        batch = enqueue_many(counted, [(0.5,), (0.6,)], queue="io")
        seen = turns
        ids = [outcome.get() async for outcome in batch]
        counting.cancel()
        assert sorted(ids) == [f"{batch.name}-0", f"{batch.name}-1"]
        assert turns - seen > 10, "the event loop turned meanwhile"
        with pytest.raises(celery.exceptions.TimeoutError):
            async for _ in enqueue_many(held_up, [()], queue="io").aoutcomes(timeout=0.2):
                pass

    asyncio.run(main())
    client.rpush("go", 1)
    wait_until(lambda: client.llen("done") == 3, what="the end of the last task")


def test_iteration_goes_on_when_redis_is_back_also_if_it_forgot_ends(tmp_path):
    """Redis forgets the ends that were read: those tasks end again, and are no second outcomes."""
    (tmp_path / "redis").mkdir()
    server = Server(tmp_path / "redis")
    env = {**os.environ, "PYTHONPATH": PYTHONPATH, "REDIS_URL": server.url}
    command = [sys.executable, "tests/support/following_program.py"]
    try:
        with subprocess.Popen([*command, "follow"], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) as program:
            ids = [program.stdout.readline() for _ in range(5)]
            server.away(1.0)
            with server.client() as client:
                client.delete("celery-taskset-meta-batch:away.ended")
                client.sadd("celery-taskset-meta-batch:away.sent", *(f"away-{number}" for number in range(10)))
            subprocess.run([*command, "end", "3", "10"], cwd=ROOT, env=env, check=True, timeout=60)
            ids += program.communicate(timeout=90)[0].splitlines(keepends=True)
    finally:
        server.child.stop(0)
    assert sorted(ids) == [f"away-{number}\n" for number in range(10)]
