"""The life of a message in all interleavings: message.pml, checked by spin; its header says what it leaves out."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

MODEL = Path(__file__).with_name("message.pml")
TWINS = {  # what is wrong: the invariant that breaks
    "NOTES_LATER": 1,
    "ACKNOWLEDGES_ANY_DELIVERY": 2,
    "RENEWS_WHAT_IS_GONE": 3,
    "RETURNS_WHAT_IT_SAW": 4,
    "COUNTS_NOTHING": 5,
    "NEVER_SWEEPS": 6,
}


def search(folder, *definitions):
    """What the checker says of the model, built with these definitions."""
    for tool in ("spin", "gcc"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    for command in (
        ["spin", *definitions, "-DFAULTS=5", "-a", str(MODEL)],
        ["gcc", "-O0", "-w", "-DSAFETY", "-DNOREDUCE", "-DNOFAIR", "-DCOLLAPSE", "-DMEMLIM=1000", "-o", "pan", "pan.c"],
        ["./pan", "-m10000"],
    ):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def test_message_is_never_nowhere_in_any_interleaving(tmp_path, capsys):
    """Five faults, in any order, of any kind."""
    said = search(tmp_path)
    assert "errors: 0" in said, said
    assert not any(sign in said for sign in ("not completed", "too small", "MEMLIM", "out of memory")), said
    states = re.search(r"(\d+) states, stored", said)[1]
    with capsys.disabled():
        print(f"\nthe life of a message: {int(states):,} states")


@pytest.mark.parametrize("wrong", TWINS)
def test_model_that_is_wrong_breaks_its_invariant(tmp_path, wrong):
    """Every check of the model can fail: it does on its twin."""
    said = search(tmp_path, f"-D{wrong}")
    assert re.search(r"errors: [1-9]", said), said
    assert f"broken: invariant {TWINS[wrong]}\n" in said
