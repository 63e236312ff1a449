"""`python -m workers join`: each check that fails is a line, and nothing is started; else workers run."""

import re
import signal
import subprocess
import sys

import psutil
import pytest
from cluster import SLOTS, Node
from joining import joining, refused
from local_stack import marked
from peers import wait_until
from proxy import Proxy
from queue_workers import queue_worker
from tls_front import TlsFront, certificate

import interlock
from tasks import print_square
from workers.local_stack.children import ROOT
from workers.local_stack.joining import clocks

TIME_REPLY = re.compile(rb"\*2\r\n\$10\r\n(\d{10})\r\n(\$\d\r\n\d+\r\n)")


@pytest.fixture
def folder(tmp_path):
    """Where the command keeps its files: empty, and empty again at the end."""
    made = tmp_path / "temporary"
    made.mkdir()
    return made


@pytest.fixture
def lone_node(tmp_path):
    """A Cluster of one node."""
    node = Node(tmp_path / "node")
    try:
        node.client.execute_command("CLUSTER ADDSLOTSRANGE", 0, SLOTS - 1)
        wait_until(lambda: "cluster_state:ok" in node.said(), what="the Cluster's start")
        yield node
    finally:
        node.child.stop(0)


def one_line(said, *parts):
    assert said.startswith("error: "), said
    assert said.count("\n") == 1, said
    for part in parts:
        assert part in said, said


# --- the server ---


@pytest.mark.parametrize(
    ("setting", "value", "parts"),
    [
        ("maxmemory", "1", ("refuses", "it is full: raise its maxmemory")),
        ("min-replicas-to-write", "1", ("refuses", "start its replicas")),
        ("maxmemory-policy", "allkeys-lru", ("may evict locks: set maxmemory-policy to noeviction",)),
    ],
)
def test_server_that_takes_no_writes_or_may_lose_them_is_refused(own_server, folder, setting, value, parts):
    with own_server.client() as client:
        client.config_set(setting, value)
    one_line(refused(folder, own_server.url), *parts)


def test_replica_is_refused(own_server, folder):
    with own_server.client() as client:
        client.replicaof("127.0.0.1", 1)
    one_line(refused(folder, own_server.url), "refuses", "it is a replica: use its master's address")


def test_server_that_is_too_old_is_refused(own_server, folder):
    def older(data):
        return re.sub(rb"(redis|valkey)_version:\d", rb"\1_version:5", data)

    with Proxy(own_server.url, older) as proxy:
        one_line(refused(folder, f"redis://127.0.0.1:{proxy.port}/0"), "or later is needed")


def test_node_of_a_cluster_is_refused(folder, lone_node):
    one_line(refused(folder, lone_node.url), "is a node of a Cluster", "name such a one")


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_nobody_who_answers_is_one_line_that_names_the_way_in(own_server, folder, scheme):
    """By TLS to a server that speaks none; and at a port where nobody listens, with a password that is not shown."""
    if scheme == "redis":
        own_server.kill()
    said = refused(folder, own_server.url.replace("redis://", f"{scheme}://user:s3cret@"))
    one_line(said, "no Redis answers", "rediss://" if scheme == "redis" else "or write redis://")
    assert "s3cret" not in said


def test_certificate_that_nobody_vouches_for_is_refused_and_a_trusted_one_let_in(tmp_path, folder):
    made, key = certificate(tmp_path)
    with TlsFront(made, key) as front:
        url = f"rediss://localhost:{front.port}/0"
        one_line(refused(folder, url), "certificate", "?ssl_ca_certs=FILE")
        with joining(tmp_path / "machine", f"{url}?ssl_ca_certs={made}", "--queues", "io") as machine:
            machine.wait_until_ready()
            assert machine.stop(signal.SIGTERM) == 0


# --- the clocks ---


def other_clock(seconds):
    """Changes the answers to TIME, as if the server's machine had another clock."""
    return lambda data: TIME_REPLY.sub(
        lambda found: b"*2\r\n$10\r\n%d\r\n%b" % (int(found[1]) + seconds, found[2]), data
    )


@pytest.mark.parametrize(("ahead", "said"), [(120, "120.0 s ahead of"), (-120, "120.0 s behind")])
def test_clock_two_minutes_off_is_refused(own_server, folder, ahead, said):
    with Proxy(own_server.url, other_clock(ahead)) as proxy:
        one_line(refused(folder, f"redis://127.0.0.1:{proxy.port}/0"), said, "2 s at most are allowed", "NTP")


@pytest.mark.parametrize(
    ("ahead", "uncertain", "fits"),
    [(1.9, 0.0, True), (2.1, 0.0, False), (-2.1, 0.0, False), (2.1, 0.2, True), (3.0, 0.2, False)],
)
def test_clocks_are_refused_only_if_they_are_too_far_apart_for_sure(ahead, uncertain, fits):
    """A round trip of a second leaves half a second of doubt."""
    assert (clocks.problem(clocks.Difference(ahead, uncertain)) is None) == fits


def test_several_checks_that_fail_are_a_line_each(own_server, folder):
    with own_server.client() as client, Proxy(own_server.url, other_clock(120)) as proxy:
        client.config_set("maxmemory", "1")
        said = refused(folder, f"redis://127.0.0.1:{proxy.port}/0")
    first, second = said.splitlines()
    assert first.startswith("error: ") and "it is full" in first
    assert second.startswith("error: ") and "the clock" in second


# --- the workers that run already ---


@pytest.mark.parametrize(
    ("other", "part"),
    [
        ("interlock=0.0.9", "Interlock is 0.0.9 there and"),
        ("celery=5.6.2", "Celery is 5.6.2 there and"),
        ("visibility_seconds=60", "INTERLOCK_VISIBILITY_SECONDS is 60 there and 30 here"),
    ],
)
def test_other_version_that_runs_already_is_refused(tmp_path, folder, own_server, other, part):
    more = {"REDIS_URL": own_server.url, "OTHER_VERSIONS": other}
    with queue_worker(tmp_path, "io", include="other_versions", **more) as worker:
        one_line(refused(folder, own_server.url), worker.node, part, "must be the same")


def test_worker_that_says_no_version_is_refused(tmp_path, folder, own_server):
    more = {"REDIS_URL": own_server.url, "OTHER_VERSIONS": "none"}
    with queue_worker(tmp_path, "io", include="other_versions", **more):
        said = refused(folder, own_server.url)
    one_line(said, "Interlock is an older one there")


@pytest.mark.parametrize("other", ["python=3.99.1", "celery=5.7.99"])
def test_version_that_breaks_nothing_is_let_in(tmp_path, own_server, other):
    """Messages are JSON, so another Python is only a note; nor does a patch of Celery matter."""
    more = {"REDIS_URL": own_server.url, "OTHER_VERSIONS": other}
    with (
        queue_worker(tmp_path, "io", include="other_versions", **more) as worker,
        joining(tmp_path / "machine", own_server.url, "--queues", "io") as machine,
    ):
        machine.wait_until_ready()
        assert f"Workers that run already: {worker.node}@" in machine.output()
        assert ("note: " in machine.output()) == other.startswith("python")
        assert machine.stop(signal.SIGTERM) == 0


def test_name_that_a_machine_has_is_refused_until_it_has_left(tmp_path, folder, own_server):
    """Whether the same queues are asked for, or others; and its own name is free at once when it has stopped."""
    with joining(tmp_path / "first", own_server.url, "--name", "twin", "--queues", "aio") as first:
        first.wait_until_ready()
        assert "Workers that run already: none." in first.output()
        one_line(refused(folder, own_server.url, "--name", "twin"), "aio@twin runs already", "--name")
        one_line(refused(folder, own_server.url, "--name", "twin", "--queues", "io"), "named twin has joined", "--name")
        assert first.stop(signal.SIGINT) == 0
    with joining(tmp_path / "again", own_server.url, "--name", "twin", "--queues", "aio") as again:
        again.wait_until_ready()
        assert again.stop(signal.SIGTERM) == 0


def test_of_two_machines_of_one_name_at_the_same_moment_one_joins(tmp_path, own_server):
    words = (own_server.url, "--name", "twin", "--queues", "io")
    with joining(tmp_path / "one", *words) as one, joining(tmp_path / "other", *words) as other:
        machines = (one, other)
        wait_until(lambda: any(each.process.poll() is not None for each in machines), what="the end of one of them")
        (loser,) = (each for each in machines if each.process.poll() is not None)
        (winner,) = (each for each in machines if each is not loser)
        winner.wait_until_ready()
        assert loser.process.returncode == 1
        assert "named twin" in loser.output(), loser.output()
        assert winner.stop(signal.SIGTERM) == 0


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--queues", "cpu,gpu"), "some of cpu, io, aio"),
        (("--queues", ""), "some of cpu, io, aio"),
        (("--name", "a b"), "letters, digits, dots"),
        (("--name", "%h"), "letters, digits, dots"),
        (("one", "two"), "unexpected extra argument"),
    ],
)
def test_wrong_use_says_what_is_allowed(folder, words, part):
    assert part in refused(folder, *words, code=2)


# --- as it runs ---


def test_joined_machine_runs_tasks_of_each_queue_and_says_what_it_started(tmp_path, own_server):
    """REDIS_URL serves as well as the argument; the names are as given, and `run` finds a worker for each queue."""
    with joining(tmp_path / "machine", "--name", "far", REDIS_URL=own_server.url) as machine:
        machine.wait_until_ready()
        for line in (
            "cpu@far: queue cpu, 2 processes", "io@far: queue io, 16 threads", "aio@far: queue aio, 1000 coroutines",
            "Ctrl-C stops them",
        ):  # fmt: skip
            assert line in machine.output()
        ran = subprocess.run(
            [sys.executable, "-m", "workers", "run", "processes"],
            cwd=ROOT, env={"REDIS_URL": own_server.url}, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert machine.stop(signal.SIGINT) == 0
        assert "stopped." in machine.output()
    with own_server.client() as client:
        assert not interlock.Lock(name="workers of far", client=client).locked()


def test_task_that_runs_when_its_machine_leaves_goes_back_to_its_queue(tmp_path, client):
    url = f"redis://127.0.0.1:{client.connection_pool.connection_kwargs['port']}/0"
    with joining(tmp_path / "machine", url, "--queues", "cpu") as machine:
        machine.wait_until_ready()
        result = print_square.delay(3, pause=50.0)
        wait_until(lambda: result.state == "STARTED", what="the task's start")
        assert machine.stop(signal.SIGTERM) == 0
    assert client.llen("cpu") == 1


def test_worker_that_ends_by_itself_ends_the_command_and_the_others(tmp_path, own_server):
    with joining(tmp_path / "machine", own_server.url, "--name", "far") as machine:
        machine.wait_until_ready()
        (worker,) = (each for each in psutil.Process(machine.process.pid).children() if "io@far" in each.cmdline())
        worker.kill()
        assert machine.process.wait(60) == 1
        assert "error: io was ended by SIGKILL" in machine.output()
        assert marked(machine.mark) == []
