"""`progress` in a task: what is sent, how often, and how whoever watches sees it."""

import functools
import json
import math
import os
import pty
import re
import subprocess
import sys
import threading
import time

import pytest
from celery.app.task import Context
from paths import PYTHONPATH
from peers import plain, wait_until, written
from queue_workers import queue_worker
from telling_tasks import counts, obeys, obeys_as_coroutine, order

from tasks import app, progress
from tasks.celery_app import reports
from tasks.celery_app.reports import PROGRESS, PROGRESS_EVERY, Report
from tasks.celery_app.results import Backend
from workers.local_stack.children import ROOT

WHERE = {"host": "h", "pid": 1, "worker": "w"}


@pytest.fixture
def client():
    with plain() as each:
        yield each


def stored(id):
    """The state of a task as it is stored."""
    text = app.backend.client.get(app.backend.get_key_for_task(id))
    return json.loads(text) if text else {"status": None}


def shown(id):
    return reports.read(stored(id)).get("progress")


# --- what is sent ---


def test_at_most_five_a_second_are_sent_and_the_last_in_any_case():
    report, began = Report(WHERE), time.monotonic()
    sent = [step for step in range(1, 100_001) if report.set_progress(step, 100_000)]
    seconds = time.monotonic() - began
    assert sent[0] == 1
    assert sent[-1] == 100_000
    assert len(sent) <= seconds / PROGRESS_EVERY + 3  # the first, the last, and one for a part of the time


def test_what_was_held_back_is_sent_when_it_is_said_again_later():
    report = Report(WHERE)
    assert report.set_progress(1, 10)
    assert not report.set_progress(2, 10)
    wait_until(lambda: report.set_progress(2, 10), within=10, what="the next turn")
    assert not report.set_progress(2, 10)
    assert report.set_progress(10, 10)
    assert not report.set_progress(10, 10)
    assert report.as_json()["progress"] == [10, 10]


def test_threads_of_one_run_lose_no_line():
    report = Report(WHERE)
    threads = [
        threading.Thread(target=lambda: [report.add_line("x") for _ in range(10_000)]) for _ in range(4)
    ]  # fmt: skip
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert report.as_json()["number"] == 40_000


@pytest.mark.parametrize(
    ("done", "total", "error", "said"),
    [
        ("3", 10, TypeError, "done must be a number from 0 to 10, not '3'"),
        (3, None, TypeError, "total must be a number from 0 to 1,000,000,000,000,000, not None"),
        (True, 10, TypeError, "done must be a number from 0 to 10, not True"),
        (11, 10, ValueError, "done must be a number from 0 to 10, not 11"),
        (-1, 10, ValueError, "done must be a number from 0 to 10, not -1"),
        (0, -1, ValueError, "total must be a number from 0 to 1,000,000,000,000,000, not -1"),
        (0, math.inf, ValueError, "total must be a number from 0 to 1,000,000,000,000,000, not inf"),
        (math.nan, 10, ValueError, "done must be a number from 0 to 10, not nan"),
    ],
)
def test_wrong_arguments_are_refused_in_a_line_also_outside_a_task(done, total, error, said):
    with pytest.raises(error) as refused:
        progress(done, total)
    assert str(refused.value) == said


def test_progress_outside_a_task_sends_nothing(client):
    progress(1, 2)
    progress(0, 0)
    progress(0.5, 1.0)
    assert not written(client)


def test_progress_that_the_next_state_overtakes_is_not_stored(monkeypatch):
    """A worker stores states in groups: a thousand coroutines that say where they are cost a state each."""
    monkeypatch.setattr(Backend, "unsent", None)
    unsent = app.backend.later(lambda: None)
    request = Context(id="a", hostname="w@h")
    report = reports.report_of(request, lambda: WHERE)
    for done in range(3):
        report.set_progress(done, 2)
        app.backend.store_result("a", report.as_json(), PROGRESS, request=request)
    assert len(unsent) == 1
    app.backend.store_result("a", "result", "SUCCESS", request=request)
    assert len(unsent) == 1
    unsent.send()
    assert (stored("a")["result"], shown("a")) == ("result", [2, 2])
    app.backend.client.delete(app.backend.get_key_for_task("a"))


def test_end_of_a_run_that_printed_too_much_keeps_its_progress_alone(monkeypatch):
    request = Context(id="a", hostname="w@h")
    report = reports.report_of(request, lambda: WHERE)
    report.set_progress(1, 2)
    report.add_line("x" * reports.CHARACTERS_KEPT_MAX)
    assert reports.kept(request)["texts"] == ["x" * reports.CHARACTERS_KEPT_MAX]
    report.add_line("x")
    kept = reports.kept(request)
    assert (kept["texts"], kept["number"], kept["progress"]) == ([], 2, [1, 2])
    assert reports.kept(Context(id="b")) is None


def test_state_of_that_name_which_a_program_uses_for_its_own_is_no_report():
    """Celery's manual names it so: `self.update_state(state="PROGRESS", meta={"current": 1})`."""
    assert reports.read({"status": PROGRESS, "result": {"current": 1, "total": 2}}) == {}
    assert reports.read({"status": "SUCCESS", "result": {"run": "x", "progress": [1, 2]}}) == {}


# --- in the workers ---


@pytest.mark.parametrize(("queue", "task"), [("cpu", obeys), ("io", obeys), ("aio", obeys_as_coroutine)])
def test_progress_and_lines_are_stored_while_the_task_runs_and_after_it(client, tmp_path, queue, task):
    with queue_worker(tmp_path, queue, include="telling_tasks"):
        id = task.apply_async(queue=queue).id
        for done in (1, 2):
            order(client, id, "progress", done, 3)
            wait_until(lambda done=done: shown(id) == [done, 3], what="the progress")
            time.sleep(PROGRESS_EVERY)
        order(client, id, "say", "hello")
        wait_until(lambda: reports.read(stored(id)).get("texts") == ["hello"], what="the line")
        assert shown(id) == [2, 3]  # a line brings it along
        order(client, id, "progress", 3, 3)
        wait_until(lambda: shown(id) == [3, 3], what="the last progress")
        assert stored(id)["status"] == PROGRESS
        order(client, id, "end", "well")
        wait_until(lambda: stored(id)["status"] == "SUCCESS", what="the end")
    report = reports.read(stored(id))
    assert (report["progress"], report["texts"], report["number"]) == ([3, 3], ["hello"], 1)
    assert app.AsyncResult(id).get(timeout=10) == ["well"]


def test_failed_task_keeps_what_it_said(client, tmp_path):
    with queue_worker(tmp_path, "io", include="telling_tasks"):
        id = obeys.apply_async(queue="io").id
        order(client, id, "progress", 1, 3)
        order(client, id, "fail", "on purpose")
        wait_until(lambda: stored(id)["status"] == "FAILURE", what="the end")
    assert shown(id) == [1, 3]


def test_two_hundred_thousand_calls_send_a_handful_of_states(client, tmp_path):
    """Shown by what is published: each state of the task is one message."""
    id = "counting"
    with queue_worker(tmp_path, "cpu", include="telling_tasks"), client.pubsub() as heard:
        heard.subscribe(app.backend.get_key_for_task(id).decode())
        began = time.monotonic()
        counts.apply_async((10_000, 20), task_id=id, queue="cpu").get(timeout=60)
        seconds = time.monotonic() - began
        states = []
        while not states or states[-1] != "SUCCESS":
            message = heard.get_message(timeout=5)
            if message["type"] == "message":
                states.append(json.loads(message["data"])["status"])
    assert states.count(PROGRESS) <= seconds / PROGRESS_EVERY + 2
    assert states[-2:] == [PROGRESS, "SUCCESS"]


# --- for whoever watches ---

WATCH = """
import sys
from celery import group
from tasks import watch
from telling_tasks import obeys
ids = sys.argv[1:]
sent = [obeys.s().set(task_id=id, queue="io") for id in ids]
result, lines = watch(group(sent).delay() if len(ids) > 1 else sent[0].delay(), timeout=60)
print("returned", result, [line.text for line in lines])
"""


class Watcher:
    """A program that watches tasks, in a terminal of its own or with its output in a pipe."""

    def __init__(self, ids, terminal, **variables):
        env = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR")}
        env |= {"PYTHONPATH": PYTHONPATH, "TERM": "xterm-256color", "COLUMNS": "100", **variables}
        self.read, write = pty.openpty() if terminal else os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-c", WATCH, *ids], cwd=ROOT, env=env, stdout=write, stderr=write, stdin=write
        )
        os.close(write)
        self.text = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        while True:
            try:
                some = os.read(self.read, 65536)
            except OSError:  # a terminal whose last program has ended
                return
            if not some:
                return
            self.text += some.decode()

    def shows(self, pattern):
        wait_until(lambda: re.search(pattern, self.text), what=f"{pattern} in {self.text!r}")

    def ended(self):
        """What it has printed."""
        assert self.process.wait(60) == 0, self.text
        self._reader.join(60)
        os.close(self.read)
        return self.text


@pytest.fixture
def telling(tmp_path, client):
    with queue_worker(tmp_path, "io", include="telling_tasks"):
        yield functools.partial(order, client)


def test_watch_prints_a_line_for_each_tenth_where_the_output_is_no_terminal(telling):
    watcher = Watcher(["one"], terminal=False, FORCE_COLOR="1")
    telling("one", "progress", 1, 30)
    watcher.shows(r"(?m)^Progress:   3% \(1 of 30\)$")
    telling("one", "say", "a line")
    watcher.shows("a line +io-")
    time.sleep(PROGRESS_EVERY)
    telling("one", "progress", 2, 30)  # no other tenth
    time.sleep(PROGRESS_EVERY)
    telling("one", "progress", 15, 30)
    watcher.shows(r"(?m)^Progress:  50% \(15 of 30\)$")
    telling("one", "progress", 30, 30)
    telling("one", "end")
    text = watcher.ended()
    assert [line.split()[1] for line in text.splitlines() if line.startswith("Progress")] == ["3%", "50%", "100%"]
    assert "\x1b" not in text
    assert "returned [] ['a line']" in text


def test_watch_of_a_group_counts_the_tasks_that_have_ended(telling):
    watcher = Watcher(["one", "two"], terminal=False)
    telling("one", "progress", 1, 1)
    watcher.shows(r"Progress:  50% \(0 of 2 tasks have ended\)")
    telling("one", "end")
    telling("two", "end")
    assert re.search(r"Progress: 100% \(2 of 2 tasks have ended\)\nreturned", watcher.ended())


@pytest.mark.parametrize("colours", [True, False])
def test_watch_draws_a_bar_in_a_terminal_and_lines_above_it(telling, colours):
    watcher = Watcher(["one"], terminal=True, **({} if colours else {"NO_COLOR": "1"}))
    telling("one", "progress", 1, 4)
    watcher.shows("25%.*1 of 4")
    telling("one", "say", "[bold]<script>")
    watcher.shows(r"\[bold\]<script>")
    time.sleep(PROGRESS_EVERY)
    telling("one", "progress", 2, 4)
    watcher.shows("50%.*2 of 4")
    telling("one", "progress", 4, 4)
    telling("one", "end")
    text = watcher.ended()
    assert re.search("100%.*4 of 4", text)
    assert "Progress:" not in text
    assert ("\x1b[38;" in text) == colours
    assert "returned [] ['[bold]<script>']" in text


def test_watch_of_a_group_draws_a_bar_for_each_task_and_one_for_all(telling):
    watcher = Watcher(["task-one", "task-two"], terminal=True)
    telling("task-one", "progress", 1, 4)
    telling("task-two", "progress", 1, 2)
    watcher.shows(r"(?s)all.*0 of 2 tasks.*obeys task-one.*1 of 4.*obeys task-two.*1 of 2")
    for id in ("task-one", "task-two"):
        telling(id, "end")
    assert "2 of 2 tasks" in watcher.ended()


def test_watch_of_tasks_that_say_nothing_draws_nothing(telling):
    watcher = Watcher(["one"], terminal=True)
    telling("one", "end", 5)
    assert watcher.ended() == "returned [5] []\r\n"
