"""`python -m workers ...` as a user runs it: on free ports, with a folder of its own for what it writes."""

import contextlib
import os
import subprocess
import sys
import uuid
from contextlib import contextmanager

import psutil
from peers import wait_until

from interlock import address
from workers.local_stack import redis_server
from workers.local_stack.children import ROOT

# `python -m workers`, told by a line when Python itself has started: before, a signal ends it in Python's own way.
BEGINS = """
import runpy, signal
for each in (signal.SIGINT, signal.SIGTERM):
    signal.signal(each, signal.SIG_DFL)  # as its first lines do
print("begins", flush=True)
runpy.run_module("workers", run_name="__main__", alter_sys=True)
"""
MARK = "INTERLOCK_TEST_MARK"  # an environment variable: all descendants inherit it


def variables(**more):
    """The environment of a user who has set nothing but free ports."""
    ports = {
        "INTERLOCK_REDIS_PORT": str(redis_server.free_port()),
        "INTERLOCK_FLOWER_PORT": str(redis_server.free_port()),
    }
    own = {key: value for key, value in os.environ.items() if key not in (*address.VARIABLES, "INTERLOCK_PREFIX")}
    return {**own, **ports, "PYTHONUNBUFFERED": "1", **more}


@contextmanager
def up(env, tmp_path):
    """`python -m workers up`, ready; killed at the end with all that it started."""
    output = tmp_path / "output"
    env = {**env, "TMPDIR": str(tmp_path)}
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "workers", "up"], cwd=ROOT, env=env, stdout=file, stderr=subprocess.STDOUT
        )
    process.output = output.read_text
    tree = psutil.Process(process.pid)
    try:
        wait_until(lambda: "Ctrl-C stops" in output.read_text() or process.poll() is not None, within=90)
        process.family = tree.children(recursive=True) if process.poll() is None else []
        yield process
    finally:
        for each in [*process.family, tree]:
            with contextlib.suppress(psutil.NoSuchProcess):  # it has ended by itself
                each.kill()
        process.wait()


@contextmanager
def started_command(command, folder):
    """The command as a shell starts it, in the foreground: a process group of its own. Killed at the end."""
    folder.mkdir()
    output = folder.with_suffix(".output")
    mark = uuid.uuid4().hex
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", BEGINS, *command.split()],
            cwd=ROOT, env=variables(TMPDIR=str(folder), **{MARK: mark}), stdout=file, stderr=file,
            start_new_session=True,
        )  # fmt: skip
    process.output, process.left = output.read_text, lambda: marked(mark)
    try:
        wait_until(output.read_text, what="Python's start")
        yield process
    finally:
        for each in process.left():
            each.kill()
        process.wait()


def still_running(process):
    """What the stack started and has not ended."""

    def runs(each):
        try:
            return each.is_running() and each.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:  # it ended just now
            return False

    return [each for each in process.family if runs(each)]


def marked(mark):
    """Processes that run with this mark in their environment, whoever started them."""

    def has(each):
        try:
            return each.environ().get(MARK) == mark and each.status() != psutil.STATUS_ZOMBIE
        except (psutil.NoSuchProcess, psutil.AccessDenied):  # it has ended, or is somebody else's
            return False

    return [each for each in psutil.process_iter() if has(each)]
