"""REDIS_URL is wrong, or what it names does not answer as it should: every command says in one line what to do."""

import contextlib
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from local_stack import variables
from servers import server_binary

from workers.local_stack import redis_server
from workers.local_stack.children import ROOT

SECRET = "s3cret"
COMMANDS = {
    "up": ["-m", "workers", "up"],
    "join": ["-m", "workers", "join"],
    "demo": ["-m", "workers", "demo"],
    "status": ["-m", "workers", "status"],
    "run": ["-m", "workers", "run", "threads"],
    "example": ["-m", "examples.semaphore"],
}


@contextmanager
def listener(answer=None):
    """A port where somebody listens who is no Redis: silent, or with the same answer to everything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        over = threading.Event()

        def serve():
            with contextlib.ExitStack() as kept:
                while not over.is_set():
                    try:
                        connection, _ = server.accept()
                    except TimeoutError:
                        continue
                    kept.enter_context(connection)
                    if answer:
                        connection.recv(4096)
                        connection.sendall(answer)
                        connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            over.set()
            thread.join()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """The port of a server that wants a password."""
    port = redis_server.free_port()
    server = redis_server.start(tmp_path_factory.mktemp("guarded"), port, server_binary())
    subprocess.run(
        [sys.executable, "-c", f"import redis; redis.Redis(port={port}).config_set('requirepass', {SECRET!r})"],
        check=True,
    )
    yield port
    server.ask_to_stop()
    server.stop(5)


def said_by_each(url, folder):
    """What each command prints and how it ends, all started at once."""
    env = variables(REDIS_URL=url, TMPDIR=str(folder))
    began = time.monotonic()
    started = {
        name: subprocess.Popen(
            [sys.executable, *words], cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for name, words in COMMANDS.items()
    }
    ended = {}
    try:
        for name, process in started.items():
            out, err = process.communicate(timeout=90)
            ended[name] = process.returncode, out, err, time.monotonic() - began
    finally:
        for process in started.values():
            process.kill()
            process.wait()
    return ended


def assert_one_line(url, folder, *parts):
    for name, (code, out, err, seconds) in said_by_each(url, folder).items():
        assert code == 1, (name, out, err)
        assert out == "", name
        assert err.startswith("error: "), (name, err)
        assert err.count("\n") == 1, (name, err)
        for part in ("REDIS_URL", *parts):
            assert part in err, (name, err)
        assert SECRET not in err, name
        assert seconds < 60, (name, "a few seconds on a machine that is not loaded")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "url", ["nonsense", "http://127.0.0.1/0", "redis://127.0.0.1:port/0", "redis://127.0.0.1/x", "redis:///0"]
)
def test_address_that_is_none(tmp_path, url):
    assert_one_line(url, tmp_path, "must be redis://, rediss:// or unix://", url)


def test_worker_and_flower_say_it_too():
    for words in (["worker", "-Q", "cpu"], ["flower"]):
        said = subprocess.run(
            [sys.executable, "-m", "celery", "-A", "workers", *words],
            cwd=ROOT, env=variables(REDIS_URL="nonsense"), capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert said.returncode == 1
        assert said.stderr.startswith("error: REDIS_URL must be")
        assert said.stderr.count("\n") == 1


def test_nobody_listens(tmp_path):
    url = f"redis://:{SECRET}@127.0.0.1:{redis_server.free_port()}/0"
    assert_one_line(url, tmp_path, "no Redis answers", "refused")


def test_no_such_socket(tmp_path):
    assert_one_line("unix:///nowhere/redis.sock", tmp_path, "no Redis answers", "/nowhere/redis.sock")


def test_no_such_host(tmp_path):
    assert_one_line("redis://redis.invalid:6379/0", tmp_path, "no Redis answers", "redis.invalid")


def test_who_listens_never_answers(tmp_path):
    with listener() as port:
        assert_one_line(f"redis://127.0.0.1:{port}/0", tmp_path, "no Redis answers", str(port))


def test_who_listens_is_no_redis(tmp_path):
    with listener(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n") as port:
        assert_one_line(f"redis://127.0.0.1:{port}/0", tmp_path, str(port))


def test_password_is_missing(tmp_path, guarded):
    assert_one_line(f"redis://127.0.0.1:{guarded}/0", tmp_path, "refuses", "password")


def test_password_is_wrong(tmp_path, guarded):
    assert_one_line(f"redis://:{SECRET}x@127.0.0.1:{guarded}/0", tmp_path, "refuses", "password")


def test_there_is_no_such_database(tmp_path, guarded):
    assert_one_line(f"redis://:{SECRET}@127.0.0.1:{guarded}/99", tmp_path, "refuses", "DB index")
