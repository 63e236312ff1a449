"""Workers that die, and Redis that is away: the settings of tasks/celery_app/settings.py at work."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
from celery.result import AsyncResult
from paths import PYTHONPATH
from peers import wait_until
from prefork_permit import keep
from servers import server_binary
from vanishing_workers import QUICK, worker

import interlock
from tasks import app, print_square
from workers.local_stack import redis_server
from workers.local_stack.children import ROOT


def started(result):
    wait_until(lambda: result.state == "STARTED", what="the task's start")


def test_task_whose_pool_process_is_killed_runs_again(tmp_path):
    """Both pool processes have a task, so that whichever is killed has one."""
    with worker(tmp_path) as process:
        results = [print_square.delay(number, pause=4.0) for number in (3, 4)]
        for result in results:
            started(result)
        killed = psutil.Process(process.pid).children()[0]
        killed.kill()
        answers = [result.get(timeout=90) for result in results]
    assert [answer["square"] for answer in answers] == [9, 16]
    assert killed.pid not in [answer["pid"] for answer in answers]


def test_tasks_of_a_killed_worker_run_on_another(tmp_path):
    with worker(tmp_path) as first:
        results = [print_square.delay(number, pause=4.0) for number in range(3)]
        started(results[0])
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        with worker(tmp_path):
            squares = [result.get(timeout=60)["square"] for result in results]
    assert squares == [0, 1, 4]


def test_worker_that_is_stopped_gives_back_what_it_cannot_finish(tmp_path):
    with worker(tmp_path) as first:
        result = print_square.delay(5, pause=4.0)
        started(result)
        first.send_signal(signal.SIGTERM)
        assert result.get(timeout=90)["square"] == 25
        assert first.wait(90) == 0
        assert not first.alive_file.exists(), "it takes no more tasks"


def test_task_that_takes_too_long_is_ended(tmp_path):
    """The limit travels with the message: producers and workers share their settings."""
    code = "from tasks import print_square; print_square.delay(5, pause=30.0).get(timeout=90)"
    with worker(tmp_path):
        said = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT, env={**os.environ, **QUICK}, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert "TimeLimitExceeded" in said.stderr


def test_thread_pool_runs_tasks_of_its_queue(tmp_path):
    from tasks import print_letters, print_numbers, wait

    with worker(tmp_path, "io", "threads"):
        assert print_letters.delay(0.0).get(timeout=90) == 5
        assert print_numbers.delay(0.0).get(timeout=90) == 5
        assert wait.apply_async((0.1,), queue="io").get(timeout=90)["took"] >= 0.1, "a coroutine, on its own loop"


def test_producer_hears_in_one_line_that_redis_is_away_and_goes_on_when_it_is_back(tmp_path):
    """Before its first job, and between two: about a second, not Celery's 19."""
    code = f"""
import pathlib, time
from kombu.exceptions import OperationalError
from tasks import print_square
from workers.local_stack import redis_server
def enqueue():
    began = time.monotonic()
    try: print_square.delay(1)
    except OperationalError as error: print("refused", round(time.monotonic() - began, 2), error)
    else: print("enqueued")
def serve(): return redis_server.start(pathlib.Path({str(tmp_path)!r}), PORT, {server_binary()!r})
enqueue()
server = serve(); enqueue()
server.process.kill(); server.process.wait(); enqueue()
server = serve(); enqueue()
server.ask_to_stop(); server.stop(5)
"""
    port = redis_server.free_port()
    env = {**os.environ, "REDIS_URL": f"redis://127.0.0.1:{port}/0"}
    code = code.replace("PORT", str(port))
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    lines = said.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["refused", "enqueued", "refused", "enqueued"], said.stdout
    for line in lines[::2]:
        assert float(line.split()[1]) < 15.0, "about a second, on a machine that is not loaded"
        assert f"no Redis answers at redis://127.0.0.1:{port}/0 (from REDIS_URL)" in line
        assert "make up" in line


def test_tasks_and_locks_use_a_unix_socket(tmp_path, monkeypatch):
    with tempfile.TemporaryDirectory() as folder:  # a socket's path is short
        socket = Path(folder) / "s"
        command = [
            server_binary(),
            "--port",
            "0",
            "--unixsocket",
            str(socket),
            "--save",
            "",
            "--dir",
            folder,
        ]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            wait_until(socket.exists)
            monkeypatch.setenv("REDIS_URL", f"unix://{socket}?db=1")
            code = (
                "import interlock, tasks; value = interlock.Value('i', 0);"
                "print(tasks.increment_value.delay(value, 5).get(timeout=90)['pid'] > 0, value.value)"
            )
            with worker(tmp_path):
                said = subprocess.run(
                    [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
                )
        finally:
            server.terminate()
            server.wait()
    assert said.stdout == "True 5\n"


def test_results_expire(client):
    result = AsyncResult("one", app=app)
    app.backend.store_result("one", 1, "SUCCESS")
    assert 0 < client.ttl("celery-task-meta-one") <= 3600
    result.forget()


def test_package_of_settings_is_what_workers_load():
    said = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "workers", "report"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "task_acks_late: True" in said.stdout
    assert Path(ROOT / "workers" / "celery.py").exists()


def test_pool_process_that_ends_in_order_gives_back_its_permits(tmp_path, monkeypatch):
    """A permit may outlive the task that took it, but not its process."""
    slots = interlock.Semaphore(2, lease=3600.0)
    monkeypatch.setenv("PYTHONPATH", PYTHONPATH)
    with worker(tmp_path, include="prefork_permit") as process:
        assert keep.apply_async((slots,), queue="cpu").get(timeout=90) is True
        assert len(slots.statistics().holders) == 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(90) == 0
    assert slots.statistics().holders == ()
