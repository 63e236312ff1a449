"""What a task raises that would end a process fails the task, on every pool, and nothing else."""

import threading
from contextlib import contextmanager, suppress

import pytest
from awkward_tasks import ENDS, counted, ends, ends_coroutine, held_up
from peers import plain, wait_until
from queue_workers import queue_worker

import interlock
from tasks import app

SLOTS = 2


@pytest.fixture(scope="module", params=["cpu", "io", "aio"])
def worker(request, tmp_path_factory):
    """One worker of each queue, with few slots."""
    with queue_worker(tmp_path_factory.mktemp(request.param), request.param, concurrency=SLOTS) as process:
        yield process
        assert process.poll() is None, process.log()


def expect_failure(client, worker, result, said):
    """It failed with that text, at its first run, and is acknowledged."""
    with pytest.raises(RuntimeError, match="the task raised") as caught:
        result.get(timeout=30)
    assert said in str(caught.value)
    assert result.state == "FAILURE"
    assert client.lrange("begun", 0, -1).count(result.id) <= 1
    wait_until(lambda: not client.hlen("unacked"), what="its acknowledgement")
    assert worker.poll() is None


@pytest.mark.parametrize("how", ENDS)
def test_task_that_raises_it_in_its_body_fails(worker, how):
    with plain() as client:
        tasks = [ends, ends_coroutine] if worker.queue == "aio" else [ends]
        for task in tasks:
            expect_failure(client, worker, task.apply_async((how, "body"), queue=worker.queue), how)


@pytest.mark.parametrize("where", ["check", "lock"])
def test_task_that_raises_it_elsewhere_fails(worker, where):
    with plain() as client:
        expect_failure(client, worker, ends.apply_async(("SystemExit(3)", where), queue=worker.queue), "SystemExit(3)")
        lock = interlock.Lock(name="held by ends")
        assert lock.acquire(timeout=5.0), "it was released"
        lock.release()


def test_task_whose_callback_raises_it_fails(worker):
    """The check of a linked task runs when the worker sends it, outside of the body."""
    with plain() as client:
        link = ends.si("SystemExit(3)", "check").set(queue=worker.queue)
        result = counted.apply_async((0.0,), queue=worker.queue, link=link)
        expect_failure(client, worker, result, "SystemExit(3)")


@contextmanager
def failures():
    """The ids of tasks whose failure is announced meanwhile."""
    ids = set()
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"task-failed": lambda event: ids.add(event["uuid"])})
        with receiver.consumer_context() as (own, _, _):
            stopped = threading.Event()

            def drain():
                while not stopped.is_set():
                    with suppress(TimeoutError):
                        own.drain_events(timeout=0.1)

            thread = threading.Thread(target=drain)
            thread.start()
            try:
                with app.events.default_dispatcher() as announcing:

                    def heard():
                        announcing.send("task-failed", uuid="of no task")
                        return "of no task" in ids

                    wait_until(heard, what="the subscription")  # it begins with the first drain
                yield ids
            finally:
                stopped.set()
                thread.join()


def test_slots_are_free_again_and_events_say_that_tasks_failed(worker):
    """More tasks than slots raise it; then as many others run at once as there are slots."""
    with plain() as client, failures() as failed:
        results = [ends.apply_async(("SystemExit(3)", "body"), queue=worker.queue) for _ in range(2 * SLOTS + 1)]
        for result in results:
            with pytest.raises(RuntimeError):
                result.get(timeout=30)
        expected = {result.id for result in results}
        wait_until(lambda: failed >= expected, what="events of all")
        client.delete("begun")
        if worker.queue != "aio":  # a plain function has that pool to itself
            more = [held_up.apply_async(queue=worker.queue) for _ in range(SLOTS)]
            wait_until(lambda: client.llen("begun") == SLOTS, what="the start of both")
            assert client.llen("done") == 0, "both at once"
            client.rpush("go", "on")
            for result in more:
                result.get(timeout=30)
            client.delete("go")
