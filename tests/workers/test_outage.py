"""A worker or Redis dies in mid-example: it goes on when they are back, else one line says what is wrong."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager

import psutil
import pytest
import redis
from local_stack import started_command, still_running, up, variables
from peers import wait_until
from vanishing_workers import worker

from workers.local_stack.children import ROOT


@contextmanager
def program(env, *words):
    """`python -m workers run ...`, with what it prints; killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "workers", "run", *words],
        cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def errors(said):
    return [line for line in said.splitlines() if line.startswith("error: ")]


def found(process, words):
    """The process of a stack's family whose command line has these words."""
    return next(each for each in process.family if words in " ".join(each.cmdline()))


@pytest.fixture
def server(own_server):
    return own_server


def tasks_begun(server):
    """How many tasks have been started, as their results say."""
    with server.client() as client:
        return sum("STARTED" in client.get(key) for key in client.scan_iter("celery-task-meta-*"))


@pytest.mark.parametrize(("name", "seconds"), [("threads", 2.0), ("processes", 1.0)])
def test_program_goes_on_when_redis_is_back(tmp_path, server, name, seconds):
    """And so do workers and Flower; no task runs twice; all is acknowledged."""
    env = variables(REDIS_URL=server.url)
    (tmp_path / "up").mkdir()
    with up(env, tmp_path / "up") as stack:
        with program(env, name) as running:
            wait_until(lambda: tasks_sent(server) >= 2, what="all tasks")
            server.away(seconds)
            said, _ = running.communicate(timeout=90)
            assert running.returncode == 0, said
            assert "Traceback" not in said
            assert "Redis answers again" in said or name == "processes", said
        with server.client() as client:
            wait_until(lambda: client.hlen("unacked") == 0, what="the tasks' acknowledgement")
        logs = "".join(path.read_text() for path in (tmp_path / "up").glob("interlock-*/*.log"))
        received = re.findall(r"Task \S+\[(\S+)\] received", logs)
        assert len(received) == len(set(received)) >= 2, "each ran once"
        assert stack.poll() is None
        assert all(each.is_running() for each in stack.family if "flower" in " ".join(each.cmdline()))
        wait_until(lambda: flower_s_workers(env) == {"cpu", "io", "aio"}, what="the workers in Flower")
        assert subprocess.run([sys.executable, "-m", "workers", "run", "processes"], cwd=ROOT, env=env).returncode == 0


def tasks_sent(server):
    """How many tasks wait on a queue, or have begun: looked up at one moment, or one that begins would count twice."""
    with server.client() as client, client.pipeline() as at_once:
        for queue in ("cpu", "io", "aio"):
            at_once.llen(queue)
        *waiting, begun = at_once.keys("celery-task-meta-*").execute()
        return sum(waiting) + len(begun)


def flower_s_workers(env):
    with urllib.request.urlopen(f"http://127.0.0.1:{env['INTERLOCK_FLOWER_PORT']}/workers?json=1", timeout=60) as page:
        return {each["hostname"].partition("@")[0] for each in json.load(page)["data"] if each["status"]}


def test_counting_program_whose_redis_dies_is_exact_or_says_so(tmp_path, server):
    """If an update got no answer, its task failed; either way the next run finds everything in order."""
    env = variables(REDIS_URL=server.url)
    (tmp_path / "up").mkdir()
    with up(env, tmp_path / "up") as stack:
        with program(env, "lock", "15000") as running:
            wait_until(lambda: tasks_begun(server) == 2, what="the tasks' start")
            server.away(2.0)
            said, _ = running.communicate(timeout=90)
        assert (running.returncode, len(errors(said))) in [(0, 0), (1, 1)], said
        assert "Traceback" not in said
        assert all("no Redis answers" in line for line in errors(said))
        again = subprocess.run(
            [sys.executable, "-m", "workers", "run", "lock", "100"], cwd=ROOT, env=env, capture_output=True, text=True
        )
        assert again.returncode == 0, again.stdout + again.stderr
        assert stack.poll() is None


def test_program_whose_pool_process_dies_goes_on(stack):
    with program(stack.env, "processes") as running:
        cpu = next(child for child in stack.children if child.name == "cpu")
        with redis.Redis.from_url(stack.env["REDIS_URL"], decode_responses=True) as client:

            def busy():
                return sum("STARTED" in client.get(key) for key in client.scan_iter("celery-task-meta-*")) >= 2

            wait_until(busy, what="the tasks' start")
        psutil.Process(cpu.process.pid).children()[0].kill()
        said, _ = running.communicate(timeout=90)
    assert "Square: 100" in said
    assert "Cube: 1000" in said
    assert "Traceback" not in said
    assert running.returncode in (0, 1), "square and cube may no longer overlap"


def test_worker_that_dies_ends_the_stack_and_the_program(tmp_path):
    """The stack names it; the program, whose Redis goes with the stack, says that."""
    env = variables()
    with up(env, tmp_path) as stack:
        url = f"redis://127.0.0.1:{env['INTERLOCK_REDIS_PORT']}/0"
        with program({**env, "REDIS_URL": url}, "processes") as running, redis.Redis.from_url(url) as client:
            wait_until(lambda: client.hlen("unacked") == 2, what="the tasks' start")
            found(stack, "-Q cpu").kill()
            assert stack.wait(90) == 1
            assert errors(stack.output()) == ["error: cpu was ended by SIGKILL"]
            assert still_running(stack) == []
            said, _ = running.communicate(timeout=90)
    assert running.returncode == 1
    (line,) = errors(said)
    assert f"no Redis answers at {url}" in line
    assert "Traceback" not in said
    assert [each.name for each in tmp_path.iterdir()] == ["output"]


def test_program_whose_worker_dies_for_good_ends_with_a_line(tmp_path, client):
    env = {**os.environ}
    with worker(tmp_path, "cpu") as cpu, worker(tmp_path, "io", "threads"), worker(tmp_path, "aio", "custom"):
        names = subprocess.run(
            [sys.executable, "-m", "workers", "status"], cwd=ROOT, env=env, capture_output=True, text=True, check=False
        )
        assert "No worker" not in names.stdout, names.stdout
        with program(env, "processes") as running:
            wait_until(lambda: client.hlen("unacked") == 2, what="the tasks' start")
            os.killpg(cpu.pid, signal.SIGKILL)
            said, _ = running.communicate(timeout=90)
    assert running.returncode == 1
    (line,) = errors(said)
    assert line == "error: no worker takes tasks of queue cpu any more: its log says why"
    assert "Traceback" not in said


@pytest.mark.parametrize("part", ["-Q cpu", "-server 127.0.0.1", "flower"])
def test_part_that_dies_ends_the_demo(tmp_path, part):
    with started_command("demo", tmp_path / "demo") as demo:
        wait_until(lambda: "Flower, while" in demo.output(), within=90, what="the stack's start")
        tree = psutil.Process(demo.pid).children(recursive=True)
        next(each for each in tree if part in " ".join(each.cmdline()) or part in each.name()).kill()
        assert demo.wait(90) == 1
        (line,) = errors(demo.output())
        assert re.match(r"error: (cpu|redis|flower) was ended by SIGKILL$", line)
        assert "Traceback" not in demo.output()
        assert demo.left() == []
    assert list((tmp_path / "demo").iterdir()) == []
