"""Everything in the README and in the pages of docs/ is run, or compared with what it speaks of."""

import ast
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import venv
from statistics import median

import pytest
from peers import wait_until

import interlock.aio
from tasks.celery_app import environment
from workers.local_stack.children import ROOT
from workers.local_stack.programs import PROGRAMS

DOCS = ROOT / "docs"
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md")))
    if "_build" not in path.parts
}
README = PAGES["README.md"]
IN_COMPOSE = "docs/how-to/run-in-compose.md"
RUN_BY_TEST_COMPOSE = ("cp", "docker", "export", "set", "sh")  # tests/deploy/ runs these lines of IN_COMPOSE


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGES[page], flags=re.DOTALL | re.MULTILINE)


def commands(page):
    lines = (line.split(" #")[0].strip() for text in blocks(page, "sh") for line in text.splitlines())
    return [line for line in lines if line]


def imported(text):
    """The packages that a block imports."""
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [node.module if isinstance(node, ast.ImportFrom) else node.names[0].name for node in nodes]
    return {name.split(".")[0] for name in names}


def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


ADD = "docs/how-to/add-a-task.md"
OF_READERS = {"django", "fastapi", "reports"}  # what readers have, and a checkout has not
PYTHON = [(page, i) for page in PAGES if page != "CONTRIBUTING.md" for i in range(len(blocks(page, "python")))]
HERE = [(page, i) for page, i in PYTHON if (names := imported(blocks(page, "python")[i])) and not names & OF_READERS]


@pytest.mark.parametrize("page, i", HERE)
def test_python_block_runs_as_pasted(stack, page, i):
    text = blocks(page, "python")[i]
    printed = run([sys.executable, "-c", text], cwd=ROOT, env=stack.env)
    for expected in re.findall(r"print\(.*\)  # (\S+)", text):
        if expected != "the":  # a comment in words
            assert expected.rstrip(",") in printed


def test_blocks_that_are_not_run_by_themselves_are_parts_of_a_readers_program():
    assert {page.rpartition("/")[0] for page, i in PYTHON if (page, i) not in HERE} == {"docs/how-to"}


@pytest.mark.parametrize("page, i", PYTHON)
def test_python_block_names_what_interlock_has(page, i):
    """Also in a block for a framework that is not installed here."""
    tree = ast.parse(blocks(page, "python")[i])
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (dotted := ast.unparse(node)).startswith("interlock."):
            found = interlock
            for part in dotted.split(".")[1:]:
                found = getattr(found, part)


def test_example_of_contributing_is_a_real_test():
    (text,) = blocks("CONTRIBUTING.md", "python")
    assert any(text in path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)])
def test_shell_commands_run_or_exist(stack, page):
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    for command in commands(page):
        words = command.split()
        if words[0] in RUN_BY_TEST_COMPOSE:
            assert command in commands(IN_COMPOSE)
        elif words[0] == "make":
            assert words[1] in targets
            for path in re.findall(r"ARGS=(\S+)", command):
                assert (ROOT / path).exists()
        elif words[0] == "pip":
            assert re.fullmatch(r'pip install (\.|"\.\[\w+\]")', command)  # as tried below: the package is on no index
        else:
            assert words[0] == ".venv/bin/python"
            if words[1:4] in (["-m", "workers", "top"], ["-m", "workers", "join"]):
                words.append("--help")  # they run until Ctrl-C: test_top.py and test_joining.py run them
            run([sys.executable, *words[1:]], cwd=ROOT, env=stack.env)


def test_readme_begins_with_the_two_commands():
    assert commands("README.md")[:2] == ["make demo", "make test"]
    assert "make up" in README


def test_library_works_where_it_was_installed_as_written(tmp_path):
    venv.create(tmp_path / "empty", with_pip=True)
    python = tmp_path / "empty" / "bin" / "python"
    run([python, "-m", *next(line for line in commands("README.md") if line.startswith("pip")).split()], cwd=ROOT)
    text = blocks("README.md", "python")[0]
    assert int(run([python, "-c", text], cwd=tmp_path, env={"REDIS_URL": os.environ["REDIS_URL"]})) > 0


def test_added_task_runs_as_written(stack, tmp_path):
    """The page's function in a copy of the module that it names, a worker of the queue, and the page's call."""
    for folder in ("tasks", "workers"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    module = tmp_path / re.search(r"such as `(tasks/\w+\.py)`", PAGES[ADD])[1]
    module.write_text(f"{module.read_text()}\n\n{blocks(ADD, 'python')[0]}")
    alive = tmp_path / "alive"
    env = {
        **stack.env, "INTERLOCK_PREFIX": "added:", "INTERLOCK_LIVENESS_FILE": str(alive), "PYTHONPATH": str(tmp_path)
    }  # fmt: skip
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "workers", "worker", "-Q", "io", "--pool", "threads"],
        cwd=tmp_path, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until(lambda: alive.exists() or worker.poll() is not None, within=60, what="the worker")
        third_step = PAGES[ADD].partition("**3.")[2].partition("\n## ")[0]
        call = "\n".join(re.findall(r"^    (\S.*)$", third_step, flags=re.MULTILINE))
        assert run([sys.executable, "-c", call], cwd=tmp_path, env=env) == "Hello, Ada\n"
    finally:
        worker.terminate()
        worker.wait(30)


def test_demo_is_quoted_with_the_claims_that_it_prints():
    (quoted,) = blocks("README.md", "text")
    lines = re.findall(r"^(\w+) +ok +[\d.]+ s  ok: (.+)$", quoted, flags=re.MULTILINE)
    assert len(lines) == len(quoted.splitlines())
    for program, claim in lines:
        assert program in [each.name for each in PROGRAMS]
        assert is_claimed(claim)
    for text in blocks("docs/tutorial.md", "text"):
        assert is_claimed(re.search("^ok: (.+)$", text, flags=re.MULTILINE)[1])


def is_claimed(claim):
    """Whether an example claims it, in these words."""
    texts = re.findall(r'"([^"\n]+)"', (ROOT / "examples" / "_claims.py").read_text())
    return any(re.fullmatch(re.sub(r"\\{[^{}]*\\}", ".+", re.escape(text)), claim) for text in texts)


def test_figures_are_the_saved_ones():
    rates = json.loads((ROOT / "bench" / "results" / "counter.json").read_text())["medians"]
    turns = json.loads((ROOT / "bench" / "results" / "locks.json").read_text())["turns"]

    def longest(lock):
        return median(turn["near"]["longest_wait_ms"] for turn in turns if turn["lock"] == lock)

    ours = rates["interlock"]
    benchmarks = PAGES["docs/explanation/benchmarks.md"]
    for text in (
        f"{round(ours, -3):,.0f} locked updates a second",
        f"{ours / rates['multiprocessing.Value']:.2f} times `multiprocessing.Value`",
        f"{round(ours / rates['redis-py'], -1):.0f} times redis-py's lock",
        f"longest wait is {longest('interlock'):.0f} ms",
        f"it is {longest('redis-py'):,.0f} ms",
    ):
        assert text in README
    for name in ("interlock", "multiprocessing.Value", "interlock, 20 ms", "threading.Lock"):
        assert f"{round(rates[name], -3):,.0f} |" in benchmarks
    for name in ("redis-py", "interlock, linger=0"):
        assert f"{rates[name]:,.0f} |" in benchmarks
    for part, figure, digits in (("near", "per_second", 0), ("far", "per_second", 0), ("near_alone", "per_second", 0),
                                 ("far_alone", "per_second", 0), ("near", "longest_wait_ms", 0),
                                 ("far", "longest_wait_ms", 0)):  # fmt: skip
        locks = dict.fromkeys(turn["lock"] for turn in turns)
        row = [median(turn[part][figure] for turn in turns if turn["lock"] == lock) for lock in locks]
        assert " | ".join(f"{value:,.{digits}f}" for value in row) in benchmarks


def test_settings_have_the_defaults_that_are_named():
    page = PAGES["docs/reference/settings.md"]
    named = dict(re.findall(r"^\| `(\w+)` \| `?([^`|]+?)`? \|", page, flags=re.MULTILINE))
    defaults = environment.read({})
    assert named["REDIS_URL"] == "redis://127.0.0.1:6390/0"
    assert int(named["INTERLOCK_TASK_SECONDS_MAX"]) == defaults.task_seconds_max
    assert int(named["INTERLOCK_OUTAGE_SECONDS_MAX"]) == defaults.outage_seconds_max
    assert int(named["INTERLOCK_RESULT_SECONDS"]) == defaults.result_seconds
    assert int(named["INTERLOCK_BLOCKED_MS"]) == defaults.blocked_ms
    assert int(named["INTERLOCK_FETCHES_PER_HOST"]) == defaults.fetches_per_host


def test_every_variable_is_named():
    found = set()
    for folder in ("interlock", "tasks", "workers"):
        for path in (ROOT / folder).rglob("*.py"):
            found |= set(re.findall(r'"(INTERLOCK_[A-Z_]+)"', path.read_text()))
    assert not {name for name in found if name not in PAGES["docs/reference/settings.md"]}


def test_every_public_name_is_in_the_reference():
    for module, page in ((interlock, "interlock"), (interlock.aio, "interlock-aio")):
        text = PAGES[f"docs/reference/{page}.md"]
        named = re.findall(rf"^\.\. auto\w+:: {re.escape(module.__name__)}\.(\w+)$", text, flags=re.MULTILINE)
        assert sorted(named) == sorted(module.__all__)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!http)([^)#]+)[^)]*\)", PAGES[page]):
        assert (ROOT / page).parent.joinpath(target).exists(), target


@pytest.mark.parametrize("folder", ["interlock", "tasks", "workers", "deploy", "examples", "bench", "tests", "docs"])
def test_places_that_are_named_exist(folder):
    assert f"`{folder}/`" in PAGES["CONTRIBUTING.md"]
    assert (ROOT / folder).is_dir()


def test_worker_commands_are_those_that_the_stack_uses():
    page = PAGES["docs/reference/commands.md"]
    for queue, pool in (("io", "threads"), ("cpu", "prefork"), ("aio", "custom")):
        assert f"celery -A workers worker -Q {queue} --pool {pool}" in page
    for command in re.findall(r"`(?:\S+ )?(\.venv/bin/\S+ .*?)`", README):
        assert command.partition(" redis://")[0] in page  # an address is an example
    module, _, pool = re.search(r"CELERY_CUSTOM_WORKER_POOL=(\S+)", page)[1].partition(":")
    assert hasattr(importlib.import_module(module), pool)
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_commands_page_names_every_target():
    for target in re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE):
        if not target.startswith("install"):
            assert f"`make {target}`" in PAGES["docs/reference/commands.md"], target


def test_tutorial_runs_the_programs_in_the_order_of_the_demo():
    ran = re.findall(r"-m examples\.(\w+)", "\n".join(commands("docs/tutorial.md")))
    assert ran[:6] == [program.name for program in PROGRAMS[:6]]
