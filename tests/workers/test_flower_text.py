"""Flower's pages of tasks that have to do with names of files that are not UTF-8."""

import subprocess
import sys
import urllib.request

from peers import wait_until

from tasks import app
from workers.extensions.events import Dispatcher
from workers.local_stack.children import ROOT

CODE = """
from tasks import fetch_pages
result = fetch_pages.delay(["http://127.0.0.1:1/caf\\udce9.txt"])
assert result.get(timeout=60)[0]["url"].endswith("caf\\udce9.txt"), "what it returns is as it was"
print(result.id)
"""


def test_page_of_a_task_with_half_of_a_surrogate_pair_is_shown(stack):
    """Its argument, and its result, is the name of a file as `os.listdir` returns it."""
    said = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, env=stack.env, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    url = f"{stack.flower_url}/task/{said.stdout.strip()}"

    def succeeded():
        with urllib.request.urlopen(url, timeout=10) as answer:
            page = answer.read().decode()
        return page if "SUCCESS" in page else None

    assert "caf\\udce9.txt" in wait_until(succeeded, within=30, what="the page")


def test_texts_of_events_are_printable_and_what_is_none_stays():
    """A traceback, too; a whole pair is one character, and stays."""
    with app.connection() as connection:
        dispatcher = Dispatcher(connection, app=app, enabled=True, buffer_group={"task"})
        dispatcher.send("task-failed", traceback="caf\udce9.txt: \U0001f600 ü", runtime=1.5, exception=None)
        (event,) = dispatcher._group_buffer["task"]
    assert isinstance(event, dict)
    assert event["traceback"] == "caf\\udce9.txt: \U0001f600 ü"
    assert event["runtime"] == 1.5
    assert event["exception"] is None
