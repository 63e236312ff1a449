"""bench.enqueue measures every way, and notices a producer that enqueues something else."""

import subprocess
import sys

from bench.enqueue import __main__ as program
from bench.enqueue.producer import WAYS
from workers.local_stack.children import ROOT


def test_quick_run_measures_every_way():
    command = [sys.executable, "-m", "bench.enqueue", "--quick"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    assert all(way in said.stdout for way in WAYS)


def test_turn_that_enqueued_too_few_is_told(monkeypatch, capsys):
    monkeypatch.setattr(program, "turn", lambda way, count: {
        "seconds": 1.0, "cpu": 1.0, "kb": 0, "waiting": count, "count": count, "rate": 1.0, "cpu_us": 1.0,
    })  # fmt: skip
    assert program.main(["--quick"]) == 1
    assert "enqueued another number of tasks" in capsys.readouterr().err
