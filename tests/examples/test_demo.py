"""`make demo`: what it shows, and two at once."""

import os
import subprocess
import sys

import pytest

from workers.local_stack.children import ROOT
from workers.local_stack.programs import PROGRAMS


def start(tmp_path, **variables):
    env = {key: value for key, value in os.environ.items() if key not in ("REDIS_URL", "INTERLOCK_PREFIX")}
    tmp_path.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "workers", "demo"],
        cwd=ROOT, env={**env, **variables, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@pytest.mark.long
def test_two_demos_at_once_on_one_redis_pass_and_leave_nothing(client, tmp_path):
    client.set("of somebody else", "kept")
    demos = [start(tmp_path / name, REDIS_URL=os.environ["REDIS_URL"]) for name in ("first", "second")]
    try:
        for demo in demos:
            output, _ = demo.communicate(timeout=300)
            assert demo.returncode == 0, output
            assert "all claims held" in output
            assert "Traceback" not in output
            for program in PROGRAMS:
                assert program.name in output
    finally:
        for demo in demos:
            if demo.poll() is None:
                demo.kill()
                demo.wait()
    assert [list(folder.iterdir()) for folder in (tmp_path / "first", tmp_path / "second")] == [[], []]
    assert client.keys("*") == ["of somebody else"]


def test_demo_without_redis_at_its_url_is_one_line(tmp_path):
    demo = start(tmp_path, REDIS_URL="redis://127.0.0.1:1/0")
    output, _ = demo.communicate(timeout=90)
    assert demo.returncode == 1
    assert "error: no Redis answers at redis://127.0.0.1:1/0" in output
    assert "Traceback" not in output
    assert list(tmp_path.iterdir()) == []


def test_tutorials_counts_are_the_defaults():
    asked = {"race_condition": "times(100_000)", "lock": "times(1_000_000", "shared_value": "times(100_000"}
    for name, text in asked.items():
        assert text in (ROOT / "examples" / f"{name}.py").read_text()
