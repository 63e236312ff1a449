"""Exact counting tasks that are called without a message of their own: each call is its own."""

import json
import subprocess
import sys

import pytest

import interlock
from tasks import count_last_digits, increment_value, increment_with_lock
from workers.local_stack.children import ROOT


def counted(shared):
    interlock.flush()
    return shared.value


@pytest.mark.parametrize("call", [increment_value, increment_value.run])
def test_each_call_as_a_function_counts(call):
    shared = interlock.Value("i", 0)
    for _ in range(2):
        call(shared, 5)
    assert counted(shared) == 10


def test_each_call_under_a_lock_of_its_callers_counts():
    lock = interlock.Lock()
    shared = interlock.Value("i", 0, lock=lock)
    for _ in range(2):
        increment_with_lock(shared, lock, 5)
    assert counted(shared) == 10


def test_each_call_of_the_histogram_counts():
    histogram = interlock.Array("i", 10)
    for _ in range(2):
        count_last_digits(histogram, 0, 10)
    interlock.flush()
    assert sum(histogram[:]) == 20


def test_call_amid_another_tasks_message_counts():
    """A task that calls another as a function has an id; the call has none."""
    shared = interlock.Value("i", 0)
    with interlock.acting_for("an id", "outer"):
        for _ in range(2):
            increment_value(shared, 5)
    assert counted(shared) == 10


def test_items_of_map_starmap_and_chunks_all_count(stack):
    code = """
import json
import interlock
from tasks import increment_value
values = [interlock.Value("i", 0) for _ in range(3)]
arguments = [[(value, 5)] * 4 for value in values]
increment_value.starmap(arguments[0]).delay().get(timeout=60)
increment_value.chunks(arguments[1], 2).delay().get(timeout=60)
increment_value.chunks(arguments[2], 3).group().delay().get(timeout=60)
print(json.dumps([value.value for value in values]))
for value in values:
    value.unlink()
"""
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=stack.env, capture_output=True, text=True, timeout=120
    )
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout) == [20, 20, 20]
