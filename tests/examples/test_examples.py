"""Each example as a user runs it, on the local stack; with `make test-long`, the race and the locks twenty times."""

import re
import subprocess
import sys

import pytest
from repeated import turns

from workers.local_stack.children import ROOT
from workers.local_stack.programs import PROGRAMS


def run(stack, program, *arguments):
    return subprocess.run(
        [sys.executable, "-m", f"examples.{program}", *arguments],
        cwd=ROOT, env=stack.env, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def test_threads_interleave_numbers_and_letters_as_they_are_printed(stack):
    said = run(stack, "threads")
    assert said.returncode == 0, said.stderr
    assert len(re.findall(r"^Number: [1-5] +io@\S+ pid \d+$", said.stdout, flags=re.MULTILINE)) == 5
    assert len(re.findall(r"^Letter: [A-E] +io@\S+ pid \d+$", said.stdout, flags=re.MULTILINE)) == 5
    assert "Both threads have finished." in said.stdout


def test_processes_compute_square_and_cube_in_two_processes(stack):
    said = run(stack, "processes")
    assert said.returncode == 0, said.stderr
    assert "Square: 100" in said.stdout
    assert "Cube: 1000" in said.stdout
    assert len(set(re.findall(r"pid (\d+)", said.stdout))) == 2


def test_semaphore_lets_three_in(stack):
    said = run(stack, "semaphore")
    assert said.returncode == 0, said.stderr
    assert said.stdout.count("Added item") == 5
    assert re.search(r"Final shared resource: \[", said.stdout)


@pytest.mark.parametrize("turn", turns(20))
def test_race_loses_updates(stack, turn):
    said = run(stack, "race_condition", "2000")
    assert said.returncode == 0, said.stdout + said.stderr
    assert re.search(r"Final value of shared_variable: -?\d+\n", said.stdout)


@pytest.mark.parametrize("turn", turns(20, quickly=2))
def test_counter_under_the_lock_ends_at_zero(stack, turn):
    said = run(stack, "lock" if turn % 2 else "shared_value", "150")
    assert said.returncode == 0, said.stdout + said.stderr
    assert "Final value of shared_variable: 0\n" in said.stdout


@pytest.mark.parametrize("times", ["0", "-1", "1.5", "x", "1000001", "9" * 5000])
def test_wrong_count_is_one_line(stack, times):
    said = run(stack, "lock", times)
    assert said.returncode == 1
    assert said.stderr == f"times must be a whole number from 1 to 1,000,000, not {times[:20]!r}\n"


@pytest.mark.parametrize("program", [program.name for program in PROGRAMS])
def test_program_without_redis_is_one_line(stack, program):
    env = {**stack.env, "REDIS_URL": "redis://127.0.0.1:1/0"}
    said = subprocess.run(
        [sys.executable, "-m", f"examples.{program}"],
        cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert said.returncode == 1
    (line,) = [line for line in said.stderr.splitlines() if line.startswith("error:")]
    assert "make up" in line
    assert "Traceback" not in said.stderr


def test_claim_that_does_not_hold_ends_with_1(stack):
    """A twin of the program, whose tasks take no lock."""
    code = """
import runpy, sys
import interlock, tasks
class Unlocked:
    def __init__(self, task): self.task = task
    def s(self, shared, lock, n): return self.task.s(shared, n)
tasks.increment_with_lock = Unlocked(tasks.increment_unlocked)
tasks.decrement_with_lock = Unlocked(tasks.decrement_unlocked)
interlock.Value = lambda code, value, lock: interlock.RawValue(code, value)
sys.argv[1:] = ["2000"]
runpy.run_module("examples.lock", run_name="__main__")
"""
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=stack.env, capture_output=True, text=True, check=False, timeout=120
    )
    assert said.returncode == 1, said.stdout + said.stderr
    assert "FAILED: under the lock, no update is lost" in said.stdout


def on_the_stack(stack, code):
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=stack.env, capture_output=True, text=True, check=False, timeout=120
    )
    assert said.returncode == 0, said.stderr
    return said.stdout.splitlines()


def test_each_watch_shows_the_lines_of_its_own_task(stack):
    code = """
from tasks import print_letters, print_numbers, watch
numbers, letters = print_numbers.delay(0.05), print_letters.delay(0.05)
for result in (letters, numbers):
    print({line.text[:6] for line in watch(result)[1]})
"""
    assert [line for line in on_the_stack(stack, code) if line.startswith("{")] == ["{'Letter'}", "{'Number'}"]


def test_lines_of_tasks_that_are_done_before_anybody_watches_are_shown(stack):
    """On a busy machine, a producer comes late to its `watch`: the results are stored by then."""
    code = """
from celery import group
from tasks import print_letters, watch
one, two = print_letters.delay(0.0), group([print_letters.s(0.0)] * 2).delay()
while not (one.ready() and two.ready()): pass
print(*(len(watch(result)[1]) for result in (one, two)))
"""
    assert on_the_stack(stack, code)[-1] == "5 10"


def test_lines_behind_an_answer_to_a_ping_are_shown(stack):
    """redis-py asks now and then whether its connection still lives."""
    code = """
from tasks import app, print_letters, watch
print_letters.delay(0.0).get(timeout=90)  # subscribes to results
pubsub = app.backend.result_consumer._pubsub
pubsub.connection.next_health_check = 0
pubsub.check_health()
result = print_letters.delay(0.0)
while not result.ready(): pass
print(len(watch(result)[1]))
"""
    assert on_the_stack(stack, code)[-1] == "5"


def test_chain_may_add_an_argument_in_front(stack):
    code = """
from celery import chain
from tasks import count_primes, print_square
print(chain(count_primes.s(0, 10), print_square.s(0.1))().get(timeout=90)["square"])
"""
    assert on_the_stack(stack, code) == ["16"]


def test_every_program_has_a_script_of_15_to_30_lines():
    for program in PROGRAMS:
        lines = (ROOT / "examples" / f"{program.name}.py").read_text().splitlines()
        assert 15 <= len(lines) <= 30, program.name
