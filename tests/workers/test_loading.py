"""A Redis that reads megabytes of data when it starts: the stack waits for as long as it reads on."""

import os
import signal
from pathlib import Path

import pytest
import redis
from local_stack import up, variables
from peers import wait_until

from workers.local_stack import redis_server
from workers.local_stack.redis_server import StackError

KEYS = 20_000


@pytest.fixture
def slowly(tmp_path):
    """A server that reads its data slowly, and answers meanwhile: two seconds and more for KEYS keys."""
    true = Path(redis_server.binary())
    binary = tmp_path / "bin" / true.name  # by this name `make up` finds it first
    binary.parent.mkdir()
    options = "--key-load-delay 100 --loading-process-events-interval-bytes 1024"
    binary.write_text(f'#!/bin/sh\n[ "$1" = --version ] && exec {true} "$1"\nexec {true} "$@" {options}\n')
    binary.chmod(0o755)
    return binary


@pytest.fixture
def folder(tmp_path):
    """What a server has kept of KEYS keys."""
    kept = tmp_path / "data" / "redis"
    kept.mkdir(parents=True)
    port = redis_server.free_port()
    server = redis_server.start(kept, port)
    with redis.Redis(port=port) as client, client.pipeline(transaction=False) as pipe:
        for number in range(KEYS):
            pipe.set(f"key:{number}", "x" * 100)
        pipe.execute()
    server.ask_to_stop()
    server.stop(30)
    return kept


def loading(port):
    with redis.Redis(port=port) as client:
        return client.info("persistence")["loading"]


def test_make_up_waits_until_redis_has_read_its_data(tmp_path, folder, slowly):
    path = f"{slowly.parent}{os.pathsep}{os.environ['PATH']}"
    env = variables(INTERLOCK_FOLDER=str(folder.parent), PATH=path)
    with up(env, tmp_path) as process:
        assert "Redis reads its data" in process.output()
        assert process.poll() is None, process.output()
        with redis.Redis(port=int(env["INTERLOCK_REDIS_PORT"])) as client:
            assert client.exists(f"key:{KEYS - 1}")


def test_wait_is_longer_than_its_limit_while_redis_reads_on(folder, slowly, monkeypatch):
    """The limit is for a server that stands still: reading takes longer here, in all."""
    monkeypatch.setattr(redis_server, "PROGRESS_WITHIN", 1.5)
    port = redis_server.free_port()
    server = redis_server.start(folder, port, str(slowly))
    try:
        assert not loading(port)
    finally:
        server.stop(0)


def test_wait_ends_when_redis_reads_no_more(folder, slowly, monkeypatch):
    monkeypatch.setattr(redis_server, "PROGRESS_WITHIN", 1.5)
    port = redis_server.free_port()
    server = redis_server.launched(folder, port, str(slowly))
    stand_still = lambda _: os.kill(server.process.pid, signal.SIGSTOP)  # noqa: E731 - as soon as it reads
    try:
        with pytest.raises(StackError, match=r"does not go on reading its data: \d.* % is read"):
            redis_server.wait_until_ready(server, port, stand_still)
    finally:
        server.stop(0)


@pytest.fixture
def reading(folder, slowly):
    """The address of a server that reads its data."""
    port = redis_server.free_port()
    server = redis_server.launched(folder, port, str(slowly))
    try:
        wait_until(lambda: reads(port))
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.stop(0)


def test_stack_on_a_redis_of_its_users_waits_until_that_has_read_its_data(reading):
    redis_server.wait_until_loaded(reading)
    redis_server.check(reading)


def test_a_look_says_that_redis_reads_its_data(reading):
    with pytest.raises(StackError, match="still reads its data: try again later"):
        redis_server.check(reading)


def reads(port):
    """Whether the server listens and reads its data."""
    try:
        return loading(port)
    except (redis.ConnectionError, redis.TimeoutError):
        return False
