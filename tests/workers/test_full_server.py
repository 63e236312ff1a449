"""A Redis that refuses for a while: workers wait, run each task once, and go on when they are served again."""

import os
import re
from collections import Counter
from contextlib import contextmanager

import pytest
import redis
from awkward_tasks import counted
from peers import plain, wait_until
from queue_workers import queue_worker
from servers import Server

from tasks import app, print_square
from tasks.celery_app.outage import heals, refused_for_now


@contextmanager
def full(client):
    """No room for anything new."""
    client.config_set("maxmemory", "1mb")
    yield
    client.config_set("maxmemory", "0")


@contextmanager
def no_replicas(client):
    """It takes no write, for nobody copies it."""
    client.config_set("min-replicas-to-write", "1")
    yield
    client.config_set("min-replicas-to-write", "0")


@contextmanager
def read_only(client):
    """It follows a server that is away."""
    client.execute_command("REPLICAOF", "127.0.0.1", "1")
    yield
    client.execute_command("REPLICAOF", "NO", "ONE")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A Redis of these tests' own."""
    own = Server(tmp_path_factory.mktemp("redis"))
    yield own
    own.child.stop(0)


@pytest.fixture(scope="module", params=["cpu", "io"])
def worker(request, server, tmp_path_factory):
    """One worker for each queue, at that server."""
    folder, notes = tmp_path_factory.mktemp(request.param), os.environ["REDIS_URL"]
    with queue_worker(folder, request.param, concurrency=2, REDIS_URL=server.url, NOTES_URL=notes) as process:
        yield process
        assert process.poll() is None, process.log()


@pytest.mark.parametrize("refusing", [full, no_replicas, read_only])
def test_worker_goes_on_when_redis_takes_writes_again(server, worker, refusing):
    """Two tasks run when it begins to refuse, others wait; each runs once, and has its result."""
    with server.client() as client, plain() as notes:
        with app.connection_for_write(url=server.url) as connection:
            sent = [counted.apply_async((1.0,), queue=worker.queue, connection=connection) for _ in range(6)]
        ids = [result.id for result in sent]
        wait_until(lambda: notes.llen("begun") == 2, within=30, what="the start of two")
        said = len(worker.log())
        with refusing(client):
            wait_until(
                lambda: re.search("Retrying|wait until Redis takes them", worker.log()[said:]),
                within=30,
                what="a result that is refused",
            )
            wait_until(lambda: notes.llen("done") == 2, within=30, what="the end of two")
            assert worker.poll() is None
        wait_until(lambda: all(succeeded(client, id) for id in ids), within=60, what="the results")
        wait_until(lambda: not client.hlen("unacked") and not client.llen(worker.queue), what="all acknowledged")
        assert Counter(notes.lrange("begun", 0, -1)) == Counter(ids)
        assert worker.poll() is None
        client.flushdb()


@pytest.mark.parametrize("queue", ["cpu", "io", "aio"])
def test_task_whose_result_is_refused_for_long_is_not_lost(own_server, tmp_path, queue):
    """A process gives it back, and it runs again; other pools keep the result until there is room."""
    env = {"REDIS_URL": own_server.url, "NOTES_URL": os.environ["REDIS_URL"]}
    names = "awkward_tasks,few_attempts"
    with (
        own_server.client() as client,
        plain() as notes,
        queue_worker(tmp_path, queue, concurrency=1, include=names, **env) as worker,
        app.connection_for_write(url=own_server.url) as connection,
    ):
        result = counted.apply_async((1.0,), queue=queue, connection=connection)
        wait_until(lambda: notes.llen("begun") == 1, within=30, what="its start")
        with full(client):
            wait_until(lambda: "wait until Redis takes them" in worker.log(), within=30, what="the end of patience")
            assert client.hlen("unacked") == 1
        wait_until(lambda: succeeded(client, result.id), within=30, what="the result")
        wait_until(lambda: not client.hlen("unacked") and not client.llen(queue), what="its acknowledgement")
        assert worker.poll() is None
        client.flushdb()


def test_message_that_cannot_be_noted_as_received_is_not_lost(server, worker):
    """It arrives while Redis is full: the worker takes it off its queue, has to put it back, and runs it later."""
    with server.client() as client, plain() as notes:
        with app.connection_for_write(url=server.url) as connection:
            client.config_set("maxmemory", "1mb")
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", "0")
            with redis.Redis(port=server.port) as pipe:
                for_now = pipe.pipeline(transaction=True)
                text = as_sent(client, connection, worker.queue)
                for_now.lpush(worker.queue, *text).config_set("maxmemory", "1mb").execute()
        wait_until(lambda: "refuses to note" in worker.log(), within=30, what="the refusal")
        assert notes.llen("begun") == 0
        client.config_set("maxmemory", "0")
        wait_until(lambda: notes.llen("done") == len(text), within=60, what="the end of all")
        wait_until(lambda: not client.hlen("unacked") and not client.llen(worker.queue), what="all acknowledged")
        assert max(Counter(notes.lrange("begun", 0, -1)).values()) == 1
        client.flushdb()


def as_sent(client, connection, queue):
    """Three messages as they lie in a queue."""
    for _ in range(3):
        counted.apply_async((0.0,), queue="aio", connection=connection)
    texts = client.lrange("aio", 0, -1)
    client.delete("aio")
    return [text.replace('"routing_key": "aio"', f'"routing_key": "{queue}"') for text in texts]


def succeeded(client, id):
    """Whether its result says so."""
    return "SUCCESS" in (client.get(f"celery-task-meta-{id}") or "")


@pytest.mark.parametrize(
    "said",
    [
        "MISCONF Redis is configured to save RDB snapshots", "NOREPLICAS Not enough good replicas to write.",
        "BUSY Redis is busy running a script.", "LOADING Redis is loading the dataset in memory",
        "Command # 1 (SET a b) of pipeline caused error: MISCONF Redis is configured",
        "ERR Error running script: @user_script:5: -OOM command not allowed when used memory > 'maxmemory'.",
    ],
)  # fmt: skip
def test_refusal_that_passes_is_told_from_one_that_does_not(said):
    assert refused_for_now(redis.ResponseError(said))


def test_refusal_of_another_kind_does_not_pass():
    assert not refused_for_now(redis.ResponseError("WRONGTYPE Operation against a key of BUSY OOM kind"))
    assert not heals(redis.exceptions.NoPermissionError("this user has no permissions"))
    assert not heals(redis.AuthenticationError("wrong password"))


def test_local_stack_outlives_a_full_redis(stack):
    """Its workers and Flower go on, and a task that was sent before has its result afterwards."""
    with redis.Redis.from_url(stack.env["REDIS_URL"]) as client:
        with app.connection_for_write(url=stack.env["REDIS_URL"]) as connection:
            sent = [print_square.apply_async((3, 1.0), connection=connection) for _ in range(4)]
        wait_until(lambda: client.hlen("unacked") >= 2, within=30, what="the start of two")
        with full(client):
            with pytest.raises(redis.exceptions.OutOfMemoryError):
                client.set("any", "thing")
            log = next(child for child in stack.children if child.name == "cpu").log
            wait_until(lambda: "Retrying" in log.read_text(), within=30, what="a result that is refused")
            stack.check()
        for result in sent:
            wait_until(lambda key=f"celery-task-meta-{result.id}": b"SUCCESS" in (client.get(key) or b""), within=60)
        stack.check()
