"""A taken port, a folder that cannot be written, a full disk, a wrong variable: one line each, and nothing left."""

import os
import shutil
import socket
import subprocess
import sys

import pytest
from local_stack import started_command, still_running, up, variables
from peers import wait_until

from workers.local_stack.children import ROOT

NOBODY_S = [
    "setpriv",
    "--bounding-set=-dac_override,-dac_read_search",
    "--inh-caps=-all",
]  # root, but files have owners


def workers(*words, prefix=(), **more):
    return subprocess.run(
        [*prefix, sys.executable, "-m", "workers", *words],
        cwd=ROOT, env=variables(**more), capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def assert_one_line(said, *parts):
    assert said.returncode == 1, said
    assert said.stderr.startswith("error: "), said.stderr
    assert said.stderr.count("\n") == 1, said.stderr
    for part in parts:
        assert part in said.stderr, said.stderr


@pytest.fixture
def unwritable(tmp_path):
    """A folder in which we must not write, and what to put before a command for which that is so."""
    folder = tmp_path / "unwritable"
    folder.mkdir(mode=0o555)
    return folder, NOBODY_S if os.geteuid() == 0 else []


@pytest.fixture
def disk(tmp_path):
    """A small disk of its own."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root can make a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder, leave=0):
    """Write until nothing, or only so many bytes, are free."""
    with (folder / "filling").open("wb") as file:
        file.write(b"x" * (shutil.disk_usage(folder).free - leave))


@pytest.mark.parametrize("variable", ["INTERLOCK_REDIS_PORT", "INTERLOCK_FLOWER_PORT"])
def test_port_that_is_taken(tmp_path, variable):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert_one_line(workers("up", TMPDIR=str(tmp_path), **{variable: port}), f"port {port}", variable)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", ["x", "0", "-1", "1.5", "65536", "9" * 5000])
@pytest.mark.parametrize("variable", ["INTERLOCK_REDIS_PORT", "INTERLOCK_CPU_CONCURRENCY"])
def test_variable_that_is_no_number_in_range(variable, value):
    said = workers("up", **{variable: value})
    assert_one_line(said, f"{variable} must be a whole number from ")
    assert len(said.stderr) < 200


def test_folder_that_is_kept_cannot_be_written(tmp_path, unwritable):
    folder, prefix = unwritable
    said = workers("up", prefix=prefix, TMPDIR=str(tmp_path), INTERLOCK_FOLDER=str(folder / "kept"))
    assert_one_line(said, "INTERLOCK_FOLDER", "Permission denied", str(folder))
    assert list(tmp_path.iterdir()) == [folder]


def test_liveness_file_cannot_be_written(unwritable):
    folder, prefix = unwritable
    said = subprocess.run(
        [*prefix, sys.executable, "-m", "celery", "-A", "workers", "worker", "-Q", "cpu"],
        cwd=ROOT, env=variables(INTERLOCK_LIVENESS_FILE=str(folder / "alive")), capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert said.returncode == 1
    assert said.stderr.splitlines()[-1] == f"error: INTERLOCK_LIVENESS_FILE: {folder} cannot be written: name another"
    assert "Traceback" not in said.stderr


def test_checkout_cannot_be_written(unwritable):
    folder, prefix = unwritable
    said = subprocess.run(
        [*prefix, sys.executable, "deploy/install.py", str(folder / ".venv"), "requirements.txt"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.returncode == 1
    assert said.stderr.count("\n") == 1
    assert "Permission denied" in said.stderr


@pytest.mark.parametrize("command", ["up", "demo"])
def test_disk_that_is_nearly_full_at_the_start(disk, command):
    """Where nothing at all can be written, Python takes another folder for temporary files."""
    fill(disk, leave=100_000)
    assert_one_line(workers(command, TMPDIR=str(disk)), "no space left", "TMPDIR")
    assert [each.name for each in disk.iterdir()] == ["filling"]


def test_disk_of_the_folder_that_is_kept_is_full(tmp_path, disk):
    fill(disk)
    said = workers("up", TMPDIR=str(tmp_path), INTERLOCK_FOLDER=str(disk / "kept"))
    assert_one_line(said, "no space left", "INTERLOCK_FOLDER")


def test_disk_that_fills_up_ends_the_stack(disk):
    with up(variables(), disk) as process:
        fill(disk)
        assert process.wait(90) == 1
        assert still_running(process) == []
    assert sorted(each.name for each in disk.iterdir()) == ["filling", "output"]


def test_disk_that_fills_up_ends_the_demo(disk):
    inner = disk / "demo"
    with started_command("demo", inner) as demo:
        wait_until(lambda: "Flower, while" in demo.output(), within=90, what="the stack's start")
        fill(disk, leave=100_000)  # for what it says, which goes to this disk too
        assert demo.wait(90) == 1
        said = demo.output().splitlines()
        assert said[-1].startswith("error: no space left on the disk of"), said
        assert "Traceback" not in demo.output()
        assert demo.left() == []
    assert list(inner.iterdir()) == []
