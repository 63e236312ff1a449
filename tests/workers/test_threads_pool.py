"""The pool of threads: revoked tasks, a changed size, and time limits, which it cannot keep."""

import uuid

import pytest
from awkward_tasks import WAITS, counted, held_up, limited, waits
from celery.exceptions import TaskRevokedError
from peers import plain, wait_until
from queue_workers import queue_worker

import interlock
from tasks import app

SLOTS = 2


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    with queue_worker(tmp_path_factory.mktemp("io"), "io", concurrency=SLOTS) as process:
        yield process
        assert process.poll() is None, process.log()
        assert "NotImplementedError" not in process.log()
        assert "AttributeError" not in process.log()


def held(kind, name):
    """Take what a task is to wait for, and give it back by what this returns."""
    if kind in ("Event", "Queue", "Barrier"):
        return lambda: None
    if kind == "Semaphore":
        thing = interlock.Semaphore(1, name=name)
    elif kind in ("RLock", "Condition"):
        thing = interlock.RLock(name=name)
    else:
        thing = interlock.Lock(name=name, linger=1.0 if kind == "lingering" else None)
    assert kind == "Condition" or thing.acquire(timeout=5)
    return thing.release if kind != "Condition" else lambda: None


def slots_are_free(client, worker):
    """As many tasks as there are slots run at once."""
    run_at_once(client, SLOTS)


def run_at_once(client, n, more=0):
    """N tasks run at once, and so many more wait for them."""
    client.delete("begun", "done", "go")
    results = [held_up.apply_async(queue="io") for _ in range(n + more)]
    wait_until(lambda: client.llen("begun") >= n, what=f"the start of {n}")
    assert (client.llen("begun"), client.llen("done")) == (n, 0)
    client.rpush("go", "on")
    for result in results:
        result.get(timeout=90)
    client.delete("begun", "done", "go")


@pytest.mark.parametrize("kind", WAITS)
def test_revoked_task_that_waits_in_a_primitive_ends_and_does_not_enter_later(worker, kind):
    name = f"waited for {uuid.uuid4().hex}"
    give_back = held(kind, name)
    with plain() as client:
        result = waits.apply_async((kind, name, ""), queue="io")
        wait_until(lambda: client.llen("begun") == 1, what="the task's start")
        wait_until(lambda: waiting(kind, name, client), what="its wait")
        result.revoke(terminate=True)
        wait_until(lambda: client.lrange("ended", 0, -1) == [result.id], what="its end")
        give_back()
        with pytest.raises(TaskRevokedError):
            result.get(timeout=90)
        assert not client.exists("entered")
        assert not client.exists("caught")
        slots_are_free(client, worker)
        assert not client.exists("entered")
        assert result.state == "REVOKED"
        wait_until(lambda: not client.hlen("unacked"), what="its acknowledgement")
        for key in client.scan_iter(f"interlock:{{{name}}}*"):
            client.delete(key)


def waiting(kind, name, client):
    """Whether the task waits for it, as statistics say where there are any."""
    if kind == "Condition":
        return client.llen("inside") == 1 and not interlock.RLock(name=name).locked()
    return any(each.name == name and (each.waiters or kind == "Barrier") for each in interlock.inspect())


def test_revoked_task_in_plain_code_ends_at_its_next_wait(worker):
    with plain() as client, interlock.Lock(name="plain first"):
        result = waits.apply_async(("Lock", "plain first", "go on"), queue="io")
        wait_until(lambda: client.llen("begun") == 1, what="the task's start")
        result.revoke(terminate=True)
        wait_until(lambda: "a thread cannot be ended" in worker.log(), what="the worker's word")
        client.set("go on", "1")
        wait_until(lambda: client.lrange("ended", 0, -1) == [result.id], what="its end")
        with pytest.raises(TaskRevokedError):
            result.get(timeout=90)
        assert not client.exists("entered")


def test_revoked_task_that_has_not_begun_never_begins(worker):
    """Its turn comes when a thread is free, and then it is dropped."""
    with plain() as client:
        busy = [waits.apply_async(("Event", "busy", "go"), queue="io") for _ in range(SLOTS)]
        wait_until(lambda: client.llen("begun") == SLOTS, what="the start of both")
        late = counted.apply_async((0.0,), queue="io", countdown=0.1)
        wait_until(lambda: client.hlen("unacked") == SLOTS + 1 or client.llen("io") == 1, what="its arrival")
        late.revoke(terminate=True)
        for result in busy:
            result.revoke(terminate=True)
        client.set("go", "1")
        with pytest.raises(TaskRevokedError):
            late.get(timeout=90)
        assert late.id not in client.lrange("done", 0, -1)
        wait_until(lambda: client.llen("ended") == SLOTS, what="the end of both")


def test_pool_grows_and_shrinks(worker):
    asked = {"destination": [f"{worker.node}@{app.control.ping(timeout=2)[0].popitem()[0].partition('@')[2]}"]}
    with plain() as client:
        (answer,) = app.control.pool_grow(2, reply=True, timeout=5, **asked)
        assert "ok" in str(answer)
        run_at_once(client, SLOTS + 2)
        (answer,) = app.control.pool_shrink(2, reply=True, timeout=5, **asked)
        assert "ok" in str(answer)
        run_at_once(client, SLOTS, more=1)


def test_time_limits_that_do_not_apply_are_named(worker):
    assert worker.log().count("time limits do not apply to threads") == 1
    for _ in range(2):
        limited.apply_async(queue="io").get(timeout=20)
    assert worker.log().count(f"{limited.name} has a time limit of its own, which does not apply to threads") == 1


def test_worker_with_autoscale_goes_on(tmp_path):
    """It had ended with an AttributeError."""
    with queue_worker(tmp_path, "io", "--autoscale=4,1", "--without-mingle") as scaled, plain() as client:
        results = [counted.apply_async((0.5,), queue="io") for _ in range(6)]
        for result in results:
            result.get(timeout=30)
        assert client.llen("done") == 6
        assert scaled.poll() is None
