"""Ctrl-C and SIGTERM at any moment: the right exit code, no traceback, and nothing left, neither process nor file."""

import os
import random
import signal
import subprocess
import sys
import time
import uuid

import pytest
from local_stack import BEGINS, MARK, marked, started_command
from peers import wait_until
from repeated import turns

import interlock
from workers.local_stack.children import ROOT

TURNS = 5
LAST = 12.0  # seconds: then `up` has been up for long, and `demo` is among its programs
SEED = random.randrange(10**6)
RIGHT = {
    "up": lambda number: {0, -number},  # -number: it still imports
    "join": lambda number: {0, -number},
    "demo": lambda number: {128 + number, -number},
}


def send(process, number):
    """As a terminal does, to the whole group; as an operator does, to the one process."""
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)


def assert_ended(process, command, number, folder, told):
    code = process.wait(90)
    assert code in RIGHT[command](number), (told, code, process.output())
    assert "Traceback" not in process.output(), (told, process.output())
    assert process.left() == [], told
    assert list(folder.iterdir()) == [], told


@pytest.mark.parametrize("turn", turns(TURNS, quickly=2))
def test_stopped_at_a_random_moment(tmp_path, turn):
    """Both commands at once; each second time asked twice."""
    chance = random.Random(SEED + turn)
    delay = LAST * (turn + chance.random()) / TURNS
    number = (signal.SIGINT, signal.SIGTERM)[turn % 2]
    told = f"seed {SEED}, turn {turn}: {number.name} after {delay:.3f} s"
    with started_command("up", tmp_path / "up") as up, started_command("demo", tmp_path / "demo") as demo:
        time.sleep(delay)
        for process in (up, demo):
            assert process.poll() is None, process.output()
            send(process, number)
        if turn % 4 > 1:
            time.sleep(chance.random())
            for process in (up, demo):
                if process.poll() is None:
                    send(process, number)
        assert_ended(up, "up", number, tmp_path / "up", told)
        assert_ended(demo, "demo", number, tmp_path / "demo", told)


@pytest.mark.parametrize("turn", turns(TURNS, quickly=2))
def test_machine_that_joins_is_stopped_at_a_random_moment(tmp_path, turn):
    """Amid its checks, too. Its name is free at once."""
    delay = LAST * (turn + random.Random(SEED + turn).random()) / TURNS
    number = (signal.SIGINT, signal.SIGTERM)[turn % 2]
    with started_command(f"join {os.environ['REDIS_URL']} --name far", tmp_path / "join") as machine:
        time.sleep(delay)
        assert machine.poll() is None, machine.output()
        send(machine, number)
        told = f"seed {SEED}, turn {turn}: {number.name} after {delay:.3f} s"
        assert_ended(machine, "join", number, tmp_path / "join", told)
    assert not interlock.Lock(name="workers of far").locked(), told


@pytest.mark.long
def test_stopped_while_it_stops(tmp_path):
    """The demo is done and ends its stack: it goes on with that, whoever is impatient."""
    with started_command("demo", tmp_path / "demo") as demo:
        wait_until(lambda: "shared_value     ok" in demo.output(), within=150, what="the last program's end")
        time.sleep(0.3)
        send(demo, signal.SIGINT)
        assert_ended(demo, "demo", signal.SIGINT, tmp_path / "demo", "while it stops")


def test_stopped_in_the_middle_of_a_program(tmp_path, stack):
    """`run` says a word, not a traceback, whenever it comes."""
    chance = random.Random(SEED)
    for turn in range(6):
        delay = chance.random() * 2.5
        number = (signal.SIGINT, signal.SIGTERM)[turn % 2]
        mark = uuid.uuid4().hex
        process = subprocess.Popen(
            [sys.executable, "-c", BEGINS, "run", "threads"],
            cwd=ROOT, env={**stack.env, MARK: mark}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
        assert process.stdout.readline() == "begins\n"
        time.sleep(delay)
        send(process, number)
        said, _ = process.communicate(timeout=90)
        told = f"seed {SEED}, turn {turn}: {number.name} after {delay:.3f} s: {said}"
        assert process.returncode in (128 + number, -number), told
        assert "Traceback" not in said, told
        assert marked(mark) == [], told
