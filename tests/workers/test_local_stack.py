"""`make up`: the local stack as a user starts and stops it."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import redis
from local_stack import still_running, up, variables
from peers import wait_until
from queue_workers import queue_worker

from tasks import app
from workers.local_stack.children import ROOT


def test_pasted_lines_enqueue_a_job_and_ctrl_c_leaves_nothing(tmp_path):
    env = variables()
    with up(env, tmp_path) as process:
        lines = [line.strip() for line in process.output().splitlines() if line.startswith("    ")]
        assert len(lines) == 3
        clean = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
        pasted = subprocess.run(["bash", "-c", "\n".join(lines)], env=clean, capture_output=True, text=True, check=True)
        assert "'square': 100" in pasted.stdout
        look = "\n".join([*lines[:2], f"{sys.executable} -m workers status"])  # it asks Flower, too
        subprocess.run(["bash", "-c", look], env=clean, capture_output=True, check=True)

        with urllib.request.urlopen(f"http://127.0.0.1:{env['INTERLOCK_FLOWER_PORT']}/workers", timeout=60) as page:
            shown = page.read().decode()
        assert "cpu@" in shown
        assert "io@" in shown
        assert "aio@" in shown

        process.send_signal(signal.SIGINT)
        assert process.wait(90) == 0
        assert "Traceback" not in process.output()
        assert len(process.family) >= 7, "redis, three workers, two pool processes, Flower"
        assert still_running(process) == []
        assert [each.name for each in tmp_path.iterdir()] == ["output"], "what the stack kept on disk"


def test_running_task_is_given_back_to_a_redis_that_outlives_the_stack(tmp_path, client):
    code = "from tasks import print_square; print_square.delay(3, pause=50.0)"
    env = variables(REDIS_URL=os.environ["REDIS_URL"])
    with up(env, tmp_path) as process:
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, check=True)
        wait_until(lambda: client.hlen("unacked") == 1 and client.llen("cpu") == 0, what="the task's start")
        wait_until(lambda: started(client), what="the task's start")
        process.send_signal(signal.SIGINT)
        assert process.wait(90) == 0
    assert (client.llen("cpu"), client.hlen("unacked")) == (1, 0)
    client.flushdb()


def started(client):
    return any("STARTED" in client.get(key) for key in client.scan_iter("celery-task-meta-*"))


def test_flower_s_history_and_redis_s_data_outlive_the_stack_in_a_folder(tmp_path):
    """And Flower says at once, each time, what pools there are."""
    env = variables(INTERLOCK_FOLDER=str(tmp_path / "kept" / "here"))
    flower = f"http://127.0.0.1:{env['INTERLOCK_FLOWER_PORT']}"
    code = "from tasks import print_square; print_square.delay(3).get(timeout=90)"

    def fetched(path):
        with urllib.request.urlopen(flower + path, timeout=60) as answer:
            return json.load(answer)

    def tasks():
        asked = "draw=1&start=0&length=9&order[0][column]=0&order[0][dir]=asc&columns[0][data]=received"
        return [each["uuid"] for each in fetched(f"/tasks/datatable?{asked}")["data"]]

    for runs in (1, 2):
        with up(env, tmp_path) as process:
            pools = {each["hostname"].partition("@")[0]: each["pool"] for each in fetched("/workers?json=1")["data"]}
            assert pools == {"cpu": "prefork", "io": "thread", "aio": "coroutines"}
            with up({**env, **variables(INTERLOCK_FOLDER=env["INTERLOCK_FOLDER"])}, tmp_path / "kept") as second:
                assert second.wait(90) == 1
                assert second.output().startswith("error: another stack uses")
            url = f"redis://127.0.0.1:{env['INTERLOCK_REDIS_PORT']}/0"
            subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={**env, "REDIS_URL": url}, check=True)
            wait_until(lambda runs=runs: len(tasks()) == runs, what="the tasks in Flower")
            with redis.Redis.from_url(url) as client:
                assert client.incr("seen") == runs
            process.send_signal(signal.SIGINT)
            assert process.wait(90) == 0
    assert sorted(each.name for each in (tmp_path / "kept" / "here").iterdir()) == ["flower", "lock", "redis"]


def test_sigterm_stops_everything_too(tmp_path):
    with up(variables(), tmp_path) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(90) == 0
        assert still_running(process) == []


def test_a_killed_stack_takes_its_children_along(tmp_path):
    """Linux tells the children when their parent is gone."""
    if not sys.platform.startswith("linux"):
        pytest.skip("prctl(2) is Linux's")
    with up(variables(), tmp_path) as process:
        process.kill()
        process.wait()
        wait_until(
            lambda: still_running(process) == [],
        )


def test_a_part_that_dies_ends_the_stack_with_a_line(tmp_path):
    with up(variables(), tmp_path) as process:
        server = next(each for each in process.family if "valkey" in each.name() or "redis" in each.name())
        server.kill()
        assert process.wait(90) == 1
        assert "error: redis was ended by SIGKILL" in process.output()
        assert still_running(process) == []


def test_run_without_workers_is_one_line():
    said = subprocess.run(
        [sys.executable, "-m", "workers", "run", "threads"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert said.returncode == 1
    assert said.stderr == "error: no worker takes tasks of queue aio, cpu, io: start them with `make up`\n"


@pytest.mark.parametrize("arguments", [["run", "nonsense"], ["run", "lock", "-5"], ["run", "lock", "x"], ["nonsense"]])
def test_wrong_use_of_the_command_line_says_what_is_allowed(arguments):
    said = subprocess.run(
        [sys.executable, "-m", "workers", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert said.returncode == 2
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize("queue", ["cpu", "io", "aio"])
def test_worker_hears_commands_from_the_moment_when_its_file_is_there(tmp_path, queue):
    """It subscribes to them a while after it has said that it is ready."""
    with queue_worker(tmp_path, queue, concurrency=1, include="slow_subscription"):
        assert len(app.control.inspect(timeout=10, limit=1).ping() or {}) == 1


def test_probe_tells_a_live_worker_from_a_dead_one(stack, tmp_path):
    def probe(path):
        return subprocess.run(
            [sys.executable, str(ROOT / "workers" / "liveness.py"), str(path)], check=False
        ).returncode

    file = Path(stack.folder) / "cpu.alive"
    assert probe(file) == 0
    old = tmp_path / "old"
    old.touch()
    os.utime(old, (time.time() - 60, time.time() - 60))
    assert probe(old) == 1
    assert probe(tmp_path / "none") == 1
    touched = file.stat().st_mtime
    wait_until(lambda: file.stat().st_mtime > touched, what="another touch")
