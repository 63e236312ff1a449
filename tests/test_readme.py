"""Everything in the README is run, or compared with what it speaks of."""

import os
import re
import subprocess
import sys

import pytest

from tasks.celery_app import environment
from workers.local_stack.children import ROOT

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)


def test_python_blocks_run_one_after_the_other_as_pasted(stack):
    blocks = [text for language, text in BLOCKS if language == "python"]
    assert len(blocks) == 3
    for text in blocks:
        said = subprocess.run(
            [sys.executable, "-c", text], cwd=ROOT, env=stack.env, capture_output=True, text=True, check=False
        )
        assert said.returncode == 0, said.stderr
        for expected in re.findall(r"print\(.*\)  # (\S+)$", text, flags=re.MULTILINE):
            assert expected.rstrip(",") in said.stdout


def test_shell_commands_exist(stack):
    commands = [
        line.split("#")[0].strip()
        for language, text in BLOCKS
        if language == "sh"
        for line in text.splitlines()
        if line
    ]
    assert commands[:2] == ["make demo", "make test"]
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    for command in commands:
        words = command.split()
        if words[0] in ("cp", "docker", "set"):
            continue  # tests/deploy/test_compose.py runs these
        if words[0] == "make":
            assert words[1] in targets
            continue
        assert words[0] == ".venv/bin/python"
        said = subprocess.run(
            [sys.executable, *words[1:]], cwd=ROOT, env=stack.env, capture_output=True, text=True, check=False
        )
        assert said.returncode == 0, said.stderr
    assert "make up" in README
    assert "up" in targets


def test_settings_have_the_defaults_that_are_named():
    named = dict(re.findall(r"^\| `(\w+)` \| `?([^`|]+?)`? \|", README, flags=re.MULTILINE))
    defaults = environment.read({})
    assert named["REDIS_URL"] == "redis://127.0.0.1:6390/0"
    assert int(named["INTERLOCK_TASK_SECONDS_MAX"]) == defaults.task_seconds_max
    assert int(named["INTERLOCK_RESULT_SECONDS"]) == defaults.result_seconds


def test_every_variable_is_named():
    found = set()
    for folder in ("interlock", "tasks", "workers"):
        for path in (ROOT / folder).rglob("*.py"):
            found |= set(re.findall(r'"(INTERLOCK_[A-Z_]+)"', path.read_text()))
    assert not {name for name in found if name not in README}


def test_links_lead_somewhere():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("folder", ["interlock", "tasks", "workers", "deploy", "examples", "bench", "tests"])
def test_places_that_are_named_exist(folder):
    assert f"`{folder}/`" in README
    assert (ROOT / folder).is_dir()


def test_worker_commands_of_the_table_are_those_that_the_stack_uses():
    for queue, pool in (("io", "threads"), ("cpu", "prefork"), ("aio", "custom")):
        assert f"celery -A workers worker -Q {queue} --pool {pool}" in README
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
