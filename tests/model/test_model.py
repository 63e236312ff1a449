"""The lock's protocol in all interleavings: lock.pml, checked by spin; its header says what it leaves out."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

MODEL = Path(__file__).with_name("lock.pml")
DEPTH = 10_000  # the longest run has about 100 steps
MEMORY_MB = 1_800
INCOMPLETE = ("not completed", "max search depth too small", "reached -DMEMLIM bound", "out of memory")

# FAULTS at once, ATTEMPTS in all, and whether attempts may also only try
BUDGETS = {
    "every pair of faults": ["-DFAULTS=2", "-DATTEMPTS=4"],
    "with tries": ["-DFAULTS=2", "-DATTEMPTS=3", "-DTRIES"],
    "three faults": ["-DFAULTS=3", "-DATTEMPTS=3"],
}
TWINS = {  # the guard that is removed: the invariant that breaks
    "GRANTS_THOUGH_HELD": 1,
    "RENEWS_WHAT_IS_LOST": 1,
    "COUNTS_ITS_NODE_ALONE": 1,
    "TOKENS_STAND_STILL": 2,
    "ENTERS_LATE": 2,
    "WRITES_UNDER_ANY_TOKEN": 4,
    "NOTHING_WAS_DONE_BEFORE": 6,
    "LOST_LEAVES_IT": 6,
    "BUSY_TO_A_RELEASE": 6,
    "NEVER_ASKS_AGAIN": 8,
    "LEASES_NEVER_END": 8,
}


@pytest.fixture
def check(tmp_path):
    """Searches the model, built with these definitions, for errors; what pan says of it."""
    for tool in ("spin", "gcc"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")

    def run(*command):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def search(definitions, *, optimise="-O2", cycles=False):
        options = ["-DNP" if cycles else "-DSAFETY", "-DNOREDUCE", "-DNOFAIR", "-DCOLLAPSE", f"-DMEMLIM={MEMORY_MB}"]
        run("spin", *definitions, "-a", str(MODEL))
        run("gcc", optimise, "-w", *options, "-o", "pan", "pan.c")
        return run("./pan", f"-m{DEPTH}", *["-l"] * cycles)

    return search


def errors(said):
    return int(re.search(r"errors: (\d+)", said)[1])


def assert_sound(said):
    assert errors(said) == 0, said
    assert not any(sign in said for sign in INCOMPLETE), said


@pytest.mark.parametrize("budget", BUDGETS)
def test_protocol_keeps_its_invariants_in_all_interleavings(check, budget, capsys):
    """Whatever the order of steps and faults, within the budget: no invariant breaks. And the model does get there."""
    said = check(BUDGETS[budget])

    assert_sound(said)
    passed = {place: int(times) for place, times in re.findall(r"passed: (.+): (\d+)", said)}
    assert len(passed) == 14
    never = {place for place, times in passed.items() if not times}
    assert never <= ({"try refused"} if "-DTRIES" not in BUDGETS[budget] else set())
    states, seconds = re.search(r"(\d+) states, stored", said)[1], re.search(r"elapsed time (\S+)", said)[1]
    with capsys.disabled():
        print(f"\n{budget}: {int(states):,} states in {seconds} s")


def test_no_run_of_the_protocol_is_without_end(check):
    """A client that lives is served or leaves: the search above found that nothing lasts, this one finds no cycle."""
    said = check(["-DFAULTS=2", "-DATTEMPTS=3"], cycles=True)

    assert_sound(said)


@pytest.mark.parametrize("guard", TWINS)
def test_model_without_a_guard_breaks_its_invariant(check, guard):
    """Every check of the model can fail: it does on its twin."""
    said = check([f"-D{guard}", "-DFAULTS=2", "-DTRIES"], optimise="-O0")

    assert errors(said) > 0, said
    assert f"broken: invariant {TWINS[guard]}\n" in said
