"""`make bench` measures, and notices a lock that does not exclude."""

import subprocess
import sys

from bench.locks import LOCKS
from workers.children import ROOT

NOTHING = """
import dataclasses, sys
from bench import __main__, locks
class Nothing(locks.Interlock):
    async def acquire(self): pass
    async def release(self): pass
for name in list(locks.LOCKS)[1:]: del locks.LOCKS[name]
locks.LOCKS[locks.OURS] = dataclasses.replace(locks.LOCKS[locks.OURS], make=Nothing)
if __name__ == "__main__": sys.exit(__main__.main(["--quick"]))
"""


def test_quick_run_measures_every_lock():
    said = subprocess.run(
        [sys.executable, "-m", "bench", "--quick"], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert said.returncode == 0, said.stdout + said.stderr
    for name in LOCKS:
        assert name in said.stdout
    assert "left out" not in said.stdout.lower()


def test_lock_that_does_nothing_is_told(tmp_path):
    """Spawned processes import the twin too."""
    (tmp_path / "nothing.py").write_text(NOTHING)
    said = subprocess.run(
        [sys.executable, str(tmp_path / "nothing.py")],
        cwd=ROOT, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True,
        timeout=200, check=False,
    )  # fmt: skip
    assert said.returncode == 1, said.stdout + said.stderr
    assert "overlap" in said.stdout.lower()
