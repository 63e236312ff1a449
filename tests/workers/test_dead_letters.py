"""`python -m workers dead`: what a person does with messages that no worker could run."""

import json
import subprocess
import sys

import pytest
from awkward_tasks import takes
from peers import plain, wait_until
from queue_workers import queue_worker

from tasks import app
from workers.local_stack.children import ROOT


def dead(*arguments):
    said = subprocess.run(
        [sys.executable, "-m", "workers", "dead", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return said.returncode, said.stdout + said.stderr


@pytest.fixture
def letters(tmp_path):
    """The ids of three tasks that a worker refused, for it does not know them; one is known to another worker."""
    with queue_worker(tmp_path, "io", include="tasks") as worker, plain() as client:
        ids = [app.send_task(takes.name, (number,), queue="io").id for number in range(2)]
        ids.append(app.send_task("tests.unknown", (), queue="io").id)
        wait_until(lambda: client.llen("dead-letters") == 3, what="three dead letters")
        assert worker.poll() is None
        client.delete(*(f"celery-task-meta-{id}" for id in ids))
    return ids


def test_dead_letters_are_listed_shown_replayed_and_deleted(letters, tmp_path):
    code, said = dead("list")
    assert code == 0
    assert "tests.unknown" in said
    code, said = dead("show", letters[0])
    shown = json.loads(said)
    assert (code, shown["id"], shown["task"]) == (0, letters[0], takes.name)
    assert json.loads(shown["message"])["headers"]["id"] == letters[0]
    assert len(shown["deliveries"]) == 1
    assert dead("replay", letters[0]) == (0, "on their queues again: 1\n")
    assert dead("replay", "--task", takes.name) == (0, "on their queues again: 1\n")
    with queue_worker(tmp_path, "io"), plain() as client:
        for id in letters[:2]:
            wait_until(lambda key=f"celery-task-meta-{id}": "SUCCESS" in (client.get(key) or ""), what="the result")
    assert dead("delete", "--all") == (0, "deleted: 1\n")
    assert dead("list") == (0, "no dead letters\n")


def test_status_says_how_many_there_are(letters):
    said = subprocess.run(
        [sys.executable, "-m", "workers", "status"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "Dead      3 messages" in said.stdout


@pytest.mark.parametrize("arguments", [["replay"], ["delete"], ["replay", "--all", "--task", "x"], ["show", "no-id"]])
def test_wrong_use_is_told_in_a_line(arguments):
    code, said = dead(*arguments)
    assert code == 2
    assert said.splitlines()[-1].startswith("Error: ")
    assert "Traceback" not in said
