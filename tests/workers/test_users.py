"""deploy/users.acl: each user may do what it must, and nothing else."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys

import pytest
import redis
import redis.asyncio
from flowers import asked
from joining import joining, refused
from peers import wait_until
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError
from redis.retry import Retry

import interlock
from interlock import aio
from tasks import app
from tasks.transport.returns import returns_of
from tasks.transport.scripts import Keys
from workers.local_stack import redis_server
from workers.local_stack.children import ROOT, Child

FILE = ROOT / "deploy" / "users.acl"
USERS = ("interlock", "producer", "worker", "flower", "status")


class Server:
    """A server that has these users."""

    def __init__(self, folder, acl):
        self.port = redis_server.free_port()
        (folder / "users.acl").write_text(acl)
        command = [
            redis_server.binary(), "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(folder),
            "--save", "", "--aclfile", str(folder / "users.acl"),
        ]  # fmt: skip
        self.child = Child("redis", command, folder / "redis.log", {})
        with redis.Redis(port=self.port, retry=Retry(NoBackoff(), 0)) as probe:
            wait_until(lambda: self._answers(probe), what="the start of the server")

    def _answers(self, probe):
        assert self.child.running, self.child.last_words()
        try:
            return probe.ping()
        except redis.AuthenticationError:
            return True
        except redis.ConnectionError:
            return False

    def client(self, user, kind=redis.Redis):
        return kind(port=self.port, username=user, password="secret")

    def env(self, user, **more):
        url = f"redis://{user}:secret@127.0.0.1:{self.port}/0"
        return {**os.environ, "REDIS_URL": url, "INTERLOCK_TASK_SECONDS_MAX": "5", **more}

    def denied(self):
        """What was refused since the last time."""
        with self.client("admin") as admin:
            entries = {(entry["username"], entry["reason"], entry["object"]) for entry in admin.acl_log()}
            admin.acl_log_reset()
        return entries


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """With a password for each user, and an administrator."""
    acl = re.sub(r"^user (\w+) reset off", r"user \1 reset on >secret", FILE.read_text(), flags=re.MULTILINE)
    acl = acl.replace("user default reset on >secret", "user default reset off")
    up = Server(tmp_path_factory.mktemp("redis"), acl + "user admin on >secret ~* &* +@all\n")
    yield up
    interlock.close()
    up.child.stop(0)


@pytest.fixture
def worker(server, tmp_path):
    """Starts a worker for CPU-bound tasks, and waits until it is ready; all are killed at the end."""
    started = []

    def start():
        alive = tmp_path / f"alive{len(started)}"
        with (tmp_path / "worker.log").open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "workers", "worker", "-Q", "cpu", "-n", f"{alive.name}@%h",
                 "--pool", "prefork", "--concurrency", "2", "--without-gossip", "--without-mingle"],
                cwd=ROOT, env=server.env("worker", INTERLOCK_LIVENESS_FILE=str(alive)), stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        started.append(process)
        wait_until(alive.exists, within=60, what="the worker")
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


IMPORTS = """
from celery import chord, group
from tasks import Executor, app, enqueue_many, print_square
"""


def produced(server, code, **options):
    """What a producer's program prints."""
    said = subprocess.run(
        [sys.executable, "-c", f"{IMPORTS}\n{code}"],
        cwd=ROOT, env=server.env("producer"), capture_output=True, text=True, timeout=90, **options,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    return said.stdout.split()


def test_file_as_it_is_lets_nobody_in(tmp_path):
    """A password that is published is none: until each user has been given its own, all are off."""
    shut = Server(tmp_path, FILE.read_text())
    try:
        for user in ("default", *USERS):
            with pytest.raises(redis.AuthenticationError):
                redis.Redis(port=shut.port, username=user, password="", retry=Retry(NoBackoff(), 0)).ping()
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=shut.port, retry=Retry(NoBackoff(), 0)).ping()
    finally:
        shut.child.stop(0)


def test_user_interlock_may_use_every_primitive(server):
    client = server.client("interlock")
    for lock in (interlock.Lock(client=client), interlock.RLock(client=client), interlock.Semaphore(2, client=client)):
        for _ in range(4):  # it lingers in the end
            with lock:
                pass
        lock.statistics()
    rw = interlock.RWLock(client=client)
    with rw.reader:
        pass
    with rw.writer:
        pass
    rw.break_lock()
    value, array = interlock.Value("i", 0, client=client), interlock.Array("i", 3, client=client)
    with value.get_lock(), array.get_lock():
        value.value += 1
        array[0] = 5
    value.add(2)
    interlock.RawValue("i", 1, client=client).exchange(3)
    assert (value.value, array[:]) == (3, [5, 0, 0])
    condition = interlock.Condition(client=client)
    with condition:
        condition.notify_all()
        condition.wait(0.05)
    event = interlock.Event(client=client)
    event.set()
    assert event.wait(5)
    event.clear()
    queue = interlock.JoinableQueue(2, client=client)
    queue.put(1)
    assert queue.get() == 1
    queue.task_done()
    queue.join()
    reader, writer = interlock.Pipe(client=client)
    writer.send(1)
    assert reader.recv() == 1
    reader.close()
    barrier = interlock.Barrier(1, client=client)
    barrier.wait(5)
    barrier.abort()
    for thing in (value, array, queue, event, barrier):
        thing.unlink()

    async def coroutines():
        asynchronous = server.client("interlock", redis.asyncio.Redis)
        async with aio.Lock(client=asynchronous):
            pass
        other = aio.Queue(client=asynchronous)
        await other.put(1)
        assert await other.get() == 1

    asyncio.run(coroutines())
    assert server.denied() == set()


@pytest.mark.parametrize(
    ("users", "command"),
    [
        (USERS, "FLUSHALL"),
        (USERS, "FLUSHDB"),
        (USERS, "CONFIG GET requirepass"),
        (USERS, "ACL LIST"),
        (USERS, "KEYS *"),
        (USERS, "MONITOR"),
        (USERS, "SHUTDOWN NOSAVE"),
        (USERS, "SCRIPT FLUSH"),
        (USERS, "CLIENT KILL TYPE normal"),
        (USERS, "REPLICAOF 127.0.0.1 1"),
        (USERS, "MIGRATE 127.0.0.1 1 cpu 0 1"),
        (USERS, "GET somebody:else"),
        (USERS, "PUBLISH somebody:else 1"),
        (("interlock",), "LLEN cpu"),
        (("interlock",), "RPUSH cpu 1"),
        (("interlock",), "GET celery-task-meta-1"),
        (("interlock", "producer"), "PUBLISH /0.celery.pidbox 1"),
        (("interlock", "producer"), "SUBSCRIBE /0.celeryev/task.succeeded"),
        (("producer",), "BRPOP cpu 1"),
        (("producer",), "GET interlock:{x}"),
        (("producer",), "HGETALL unacked"),
        (("status",), "GET celery-task-meta-1"),
        (("flower",), "SUBSCRIBE somebody:else"),
    ],
)
def test_users_may_do_nothing_else(server, users, command):
    for user in users:
        with server.client(user) as client, pytest.raises(NoPermissionError):
            client.execute_command(*command.split())
    server.denied()


def test_producer_worker_flower_and_status_may_do_what_they_must(server, worker, tmp_path):
    first = worker()
    code = """
print(print_square.delay(3).get(timeout=30)["square"])
print(*(each["square"] for each in group(print_square.s(i) for i in range(3))().get(timeout=30)))
print(print_square.apply_async((4,), countdown=0.2).get(timeout=30)["square"])
print(len(chord([print_square.s(i) for i in range(3)])(app.tasks["celery.accumulate"].s()).get(timeout=30)))
result = print_square.delay(5)
print(result.get(timeout=30)["square"])
result.forget()
batch = enqueue_many(print_square, [(6,), (7,)])
print(*sorted(outcome.get()["square"] for outcome in batch.outcomes(timeout=30)))
enqueue_many(print_square, [(8,)], countdown=0.2).wait(timeout=30)
batch.forget()
print(print_square.apply_async((9,), unique="nine").get(timeout=30)["square"])
with Executor() as executor, Executor(countdown=60) as later:
    print(executor.submit(print_square, 10).result(30)["square"], later.submit(print_square, 1).cancel())
dead = app.send_task("tests.unknown", queue="cpu")
again = print_square.delay(6)
again.get(timeout=30)
print(again.id)
"""
    *squares, again = produced(server, code)
    assert squares == ["9", "0", "1", "4", "16", "1", "25", "36", "49", "81", "100", "True"]
    port = redis_server.free_port()
    command = [
        sys.executable, "-m", "celery", "-A", "workers", "flower", "--conf=deploy/flowerconfig.py",
        f"--db={tmp_path}/flower", f"--port={port}", "--address=127.0.0.1",
    ]  # fmt: skip
    flower = Child("flower", command, tmp_path / "flower.log", server.env("flower", FLOWER_BASIC_AUTH="me:secret"))
    try:
        wait_until(lambda: _page(port, "/healthcheck") == 200, within=60, what="Flower")
        for path in (
            "/workers", "/tasks", "/broker", "/api/workers?refresh=1", "/locks/data", "/dead-letters/data",
            f"/tasks/progress?id={again}",
        ):  # fmt: skip
            assert _page(port, path) == 200
        assert "interlock_redis_up 1.0" in _asked(port, "/metrics")[1]
        with server.client("admin") as admin, server.client("flower") as client:
            admin.hset("unacked_returns", "digest", "[]")  # else the script has nothing to look for
            assert returns_of(client, Keys.of(app), again) == []
            admin.delete("unacked_returns")
        lock = interlock.Lock(name="broken in Flower", client=server.client("interlock"), lease=5.0)
        lock.acquire()
        assert json.loads(_asked(port, "/lock/break", method="POST", name=lock.name)[1]) == {"ended": 1}
        with pytest.raises(interlock.LeaseLostError):
            lock.release()
        with server.client("admin") as admin:
            wait_until(lambda: admin.llen("dead-letters") == 1, what="the dead letter")
        (letter,) = json.loads(_asked(port, "/dead-letters/data")[1])["data"]
        chosen = json.dumps([letter["digest"]])
        assert json.loads(_asked(port, "/dead-letters/replay", method="POST", letters=chosen)[1])["done"] == 1
        new = json.loads(_asked(port, f"/retry/{again}", method="POST")[1])["id"]
        assert produced(server, f"print(app.AsyncResult({new!r}).get(timeout=30)['square'])") == ["36"]
    finally:
        flower.stop(0)
    status = subprocess.run(
        [sys.executable, "-m", "workers", "status"],
        cwd=ROOT, env=server.env("status"), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert "alive0@" in status.stdout
    first.send_signal(signal.SIGTERM)
    first.wait(30)
    assert server.denied() == set()


def _asked(port, path, **options):
    return asked(f"http://127.0.0.1:{port}", path, login="me:secret", **options)


def _page(port, path):
    return _asked(port, path)[0]


def test_user_worker_may_join(server, tmp_path):
    url = server.env("worker")["REDIS_URL"]
    with joining(tmp_path / "machine", url, "--queues", "io", "--name", "far") as machine:
        machine.wait_until_ready()
        assert machine.stop(signal.SIGTERM) == 0
    assert server.denied() == set()


def test_user_who_may_not_do_what_a_worker_does_is_told_the_command_that_lets_it(server, tmp_path):
    """With what that line grants, the next try passes all checks."""
    url, folder = server.env("interlock")["REDIS_URL"], tmp_path / "temporary"
    folder.mkdir()
    said = refused(folder, url)
    told = re.fullmatch(r"error: .* does not let the user 'interlock' do what a worker does: .*`(ACL .*)` .*\n", said)
    assert told, said
    with server.client("admin") as admin:
        rules = next(line for line in admin.acl_list() if line.startswith("user interlock ")).split()[2:]
        admin.execute_command(*told[1].split())
        try:
            with joining(tmp_path / "machine", url, "--queues", "io", "--name", "far") as machine:
                wait_until(lambda: "its clock is" in machine.output() or machine.process.poll(), what="the checks")
                assert "its clock is" in machine.output(), machine.output()
        finally:
            admin.execute_command("ACL", "SETUSER", "interlock", "reset", *rules)
    server.denied()


@pytest.mark.long
def test_user_worker_may_take_over_what_a_killed_worker_had(server, worker):
    first = worker()
    with server.client("admin") as admin:
        code = "print(print_square.delay(4, pause=2.0).get(timeout=60)['square'])"
        program = subprocess.Popen(
            [sys.executable, "-c", f"from tasks import print_square; {code}"],
            cwd=ROOT, env=server.env("producer"), stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        wait_until(lambda: admin.hlen("unacked"), within=30, what="the task's start")

    os.killpg(first.pid, signal.SIGKILL)
    worker()
    assert program.communicate(timeout=90)[0].split() == ["16"]
    assert server.denied() == set()
