"""The checker of bench.kills finds what is wrong in a log, and our transport passes it."""

import subprocess
import sys

import pytest

from bench.kills.report import Fault, read
from workers.local_stack.children import ROOT

RIGHT = ["start 0 1.0 7", "end 0 1.5 7", "start 1 1.0 8", "start 1 12.0 7", "end 1 12.5 7"]


def test_right_log_has_nothing_lost():
    outcome = read(2, RIGHT, [])
    assert (outcome.lost, outcome.twice, outcome.again) == ((), {}, (11.0,))


def test_retry_is_no_second_run():
    assert read(1, ["start 0 1.0 7", "retry 0 1.1 7", "start 0 2.6 8", "end 0 2.7 8"], []).again == ()


@pytest.mark.parametrize("log", [[], ["start 0 1.0 7"], ["start 0 1.0 7", "retry 0 1.1 7"]])
def test_task_without_an_end_is_lost(log):
    assert read(1, log, []).lost == (0,)


def test_task_that_may_not_have_been_sent_is_not_lost():
    assert read(2, ["start 0 1.0 7", "end 0 1.1 7"], [], [1]).lost == ()


def test_second_run_needs_a_fault_of_a_worker_that_ran_it():
    twice = ["start 0 1.0 7", "end 0 20.0 7", "start 0 12.0 8", "end 0 13.0 8"]
    assert read(1, twice, []).unexplained == [0]
    assert read(1, twice, [Fault("stop", 7, 2.0, 16.0)]).twice == {0: "stop"}
    assert read(1, twice, [Fault("stop", 9, 2.0, 16.0)]).unexplained == [0]
    assert read(1, twice, [Fault("stop", 7, 30.0, 40.0)]).unexplained == [0]


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (["begin 0 1.0 7"], "no such line"),
        (["start 5 1.0 7"], "never sent"),
        (["end 0 1.0 7"], "without a start"),
        (["start 0 1.0 7", "end 0 1.1 7", "end 0 1.2 7"], "without a start"),
    ],
)
def test_forged_log_is_refused(log, said):
    with pytest.raises(ValueError, match=said):
        read(1, log, [])


@pytest.mark.long
@pytest.mark.parametrize("pool", ["threads", "prefork", "coroutines"])
def test_chaos_loses_nothing_and_runs_nothing_twice_without_a_reason(pool, capsys):
    command = [sys.executable, "-m", "bench.kills", "--chaos", "--minutes", "0.5", "--pool", pool]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    with capsys.disabled():
        print(f"\n{done.stdout}")
    assert done.returncode == 0, done.stdout + done.stderr
