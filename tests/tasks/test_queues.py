"""A task says itself which queue it belongs on, and its module is named nowhere."""

import os
import shutil
import subprocess
import sys

import pytest

from tasks import app, print_numbers, print_square, wait
from tasks.celery_app.settings import AIO, CPU, IO
from workers.local_stack.children import ROOT

NEW_MODULE = """
from tasks.celery_app import app


@app.task(queue="io")
def greet(name: str) -> str:
    return f"Hello, {name}"
"""


def queue_of(name):
    """The queue that a call by name, or a map of the task, goes to."""
    return app.amqp.router.route({}, name)["queue"].name


def test_each_task_of_ours_declares_a_queue_that_a_worker_serves():
    declared = {name: task.declared_queue for name, task in app.tasks.items() if name.startswith("tasks.")}
    assert len(declared) > 20
    assert set(declared.values()) == {CPU, IO, AIO}


@pytest.mark.parametrize(("task", "queue"), [(print_square, CPU), (print_numbers, IO), (wait, AIO)])
def test_call_by_name_and_map_go_to_the_queue_of_the_task(task, queue):
    assert queue_of(task.name) == queue


def test_unknown_task_goes_to_the_default_queue():
    assert queue_of("tasks.elsewhere") == CPU


def test_task_in_a_new_module_is_known_to_producers_and_workers(tmp_path):
    shutil.copytree(ROOT / "tasks", tmp_path / "tasks", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tasks" / "greeting.py").write_text(NEW_MODULE)
    for module in ("tasks", "workers.celery"):  # what a producer imports, and what a worker loads
        code = f"from {module} import app; print(app.tasks['tasks.greeting.greet'].declared_queue)"
        said = subprocess.run(
            [sys.executable, "-W", "error::DeprecationWarning:celery", "-c", code],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
            capture_output=True,
            text=True,
            check=False,
        )
        assert said.stdout == "io\n", said.stderr
