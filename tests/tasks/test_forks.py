"""A producer forks after it has heard of a result: parent and children go on, each by connections of its own."""

import subprocess
import sys

import pytest
from paths import PYTHONPATH, SUPPORT

from workers.local_stack.children import ROOT

PROGRAM = SUPPORT / "fork_program.py"


@pytest.mark.parametrize("way", ["os.fork", "os.fork, a thread waits", "multiprocessing"])
def test_parent_and_children_of_a_fork_all_get_their_results_at_the_same_time(stack, way):
    """As with gunicorn's `preload_app`; the children also get what the parent waits for."""
    done = subprocess.run(
        [sys.executable, str(PROGRAM), way, "3", "5"],
        cwd=ROOT, env={**stack.env, "PYTHONPATH": PYTHONPATH}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
