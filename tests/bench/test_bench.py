"""`make bench` measures, and notices a lock that does not exclude, or a counter that does not end at 0."""

import json
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from bench.counter import picture, turns
from bench.locks.adapters import LOCKS
from workers.local_stack.children import ROOT

NOTHING = """
import dataclasses, sys
from bench.locks import __main__, adapters
class Nothing(adapters.Interlock):
    async def acquire(self): pass
    async def release(self): pass
for name in list(adapters.LOCKS)[1:]: del adapters.LOCKS[name]
adapters.LOCKS[adapters.OURS] = dataclasses.replace(adapters.LOCKS[adapters.OURS], make=Nothing)
if __name__ == "__main__": sys.exit(__main__.main(["--quick"]))
"""


@pytest.mark.long
def test_quick_run_measures_every_lock():
    said = subprocess.run(
        [sys.executable, "-m", "bench", "--quick"], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert said.returncode == 0, said.stdout + said.stderr
    for name in LOCKS:
        assert name in said.stdout
    assert "left out" not in said.stdout.lower()


@pytest.mark.long
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


COUNTED = """
import sys
import interlock
from bench.counter import __main__, counting
class Unlocked(counting.Interlock):
    def made(self, name): return interlock.Value("i", 0, name=name, client=self.client, lock=False)
    def add(self, step, times):
        for _ in range(times): self.value.value += step
counting.COUNTERS["interlock, linger=0"] = Unlocked
if __name__ == "__main__": sys.exit(__main__.main(["--quick"]))
"""


@pytest.mark.long
def test_quick_run_of_the_counter_ends_at_zero_in_every_row():
    said = subprocess.run(
        [sys.executable, "-m", "bench.counter", "--quick"],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stdout + said.stderr
    for case in turns.cases(turns.QUICK):
        assert case.name in said.stdout


@pytest.mark.long
def test_counter_without_a_lock_is_told(tmp_path):
    """It loses updates, and does not end at 0."""
    (tmp_path / "unlocked.py").write_text(COUNTED)
    said = subprocess.run(
        [sys.executable, str(tmp_path / "unlocked.py")],
        cwd=ROOT, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert said.returncode == 1, said.stdout + said.stderr
    assert "did not end at 0: interlock, linger=0" in said.stdout


def test_picture_shows_every_row_of_the_committed_figures():
    figures = json.loads(picture.RESULTS.read_text())
    drawn = ElementTree.fromstring(picture.draw(figures))
    shown = [element.text for element in drawn.iter() if element.tag.endswith("text")]
    assert set(picture.ROWS.values()) <= set(shown)
