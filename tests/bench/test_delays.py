"""bench.delays: tasks that are due later run once, and not early, although Redis and their worker are killed."""

import subprocess
import sys

import pytest

from workers.local_stack.children import ROOT


@pytest.mark.long
def test_each_delayed_task_runs_once_and_not_early(capsys):
    command = [sys.executable, "-m", "bench.delays", "--count", "500", "--window", "5"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    with capsys.disabled():
        print(f"\n{done.stdout}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "500 tasks due within 5 s; 500 waited in Redis" in done.stdout
