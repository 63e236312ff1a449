"""The screen of `status` shows names that others chose as they are: no markup, no end of a line."""

import threading

import pytest
from peers import wait_until
from rich.console import Console

import interlock
from interlock import in_use
from tasks.celery_app import app
from workers.local_stack import status

NAMES = ["[/x]", "[bold]loud[/bold]", "two\nlines", "\x1b[31mred", "back\\slash\\", "[x"]


@pytest.mark.parametrize("name", NAMES)
def test_locks_and_tasks_of_any_name_are_shown(name, capsys, monkeypatch):
    """Their names are text: those of locks, of tasks that hold and of tasks that wait."""
    monkeypatch.setenv("COLUMNS", "150")
    lock = interlock.Lock(name=name, linger=0)
    shown = name.replace("\n", "\\n").replace("\x1b", "\\x1b")

    def wait():
        with interlock.acting_for("2", name), lock:
            pass

    with interlock.acting_for("1", name), lock:
        waiter = threading.Thread(target=wait)
        waiter.start()
        wait_until(lambda: lock.statistics().waiters)
        wait_until(lambda: name in {each.name for each in in_use.look_at_all().in_use}, what="the note of its name")
        status.show()
    waiter.join(20)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("│ Lock")]
    cells = [cell.strip() for cell in line.strip("│").split("│")]
    assert cells[1] == shown
    assert cells[2].endswith(f" {shown}[1]")


@pytest.mark.parametrize("name", NAMES)
def test_workers_and_running_tasks_of_any_name_are_shown(name, capsys):
    shown = name.replace("\n", "\\n").replace("\x1b", "\\x1b")
    console = Console(width=150)
    stat = {"pool": {"implementation": "a.b:C", "max-concurrency": 1}, "pid": 1, "total": {}}
    status._show_workers(console, {name}, {name: stat}, {}, {name: [{"name": name}]})
    status._show_workers(console, {name}, {}, {}, {})
    status._show_running(console, {name: [{"name": name, "args": name, "time_start": None}]})
    assert capsys.readouterr().out.count(shown) == 6


def test_worker_whose_name_holds_colons_is_known_by_it(client):
    """kombu keeps routing key, pattern and queue in one text, with colons between."""
    key = "_kombu.binding.celery.pidbox"
    client.sadd(key, "::a:b:c@host:1.celery.pidbox", "::cpu@host.celery.pidbox")
    assert status.known_workers(app.backend.client) == {"a:b:c@host:1", "cpu@host"}
