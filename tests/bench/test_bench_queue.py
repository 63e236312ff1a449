"""`python -m bench.queue` measures every row on real workers; a worker that does not do its work gets no figure."""

import importlib
import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest
from rich.console import Console

from bench.harness.noise import Noise
from bench.queue import __main__ as program
from bench.queue import ledger, profiling, report, systems, turns
from bench.queue.ledger import Ledger, WrongError
from bench.queue.turns import Measured, Plan, Turn, Work
from workers.local_stack.children import ROOT, Child

TINY = """
import sys
from pathlib import Path
from bench.queue import __main__ as program
program.RESULTS = Path(sys.argv[1], "results", "queue.json")
if __name__ == "__main__": sys.exit(program.main(["--quick", "--save"]))
"""
QUIET = Noise(20.0, 15.0, 30.0)
PLAN = Plan(turns=2)


@pytest.mark.long
def test_quick_run_measures_every_row(tmp_path):
    said = subprocess.run(
        [sys.executable, "-c", TINY, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=900, check=False
    )
    assert said.returncode == 0, said.stdout + said.stderr
    figures = json.loads((tmp_path / "results" / "queue.json").read_text())
    measured = {(turn["work"], turn["system"]) for turn in figures["turns"]}
    wanted = {(work.name, system.name) for work in turns.works(turns.QUICK) for system in work.systems}
    assert measured == wanted
    assert all(turn["per_second"] > 0 and turn["enqueued_per_second"] > 0 for turn in figures["turns"])
    for _, name in wanted:
        assert said.stdout.count(name) >= 2
    assert "wrong" not in said.stdout.lower()


@pytest.mark.long
def test_profile_tells_the_layers_of_each_pool():
    command = [sys.executable, "-m", "bench.queue", "--quick", "--profile"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    if "Permission denied" in said.stdout + said.stderr:
        pytest.skip("no process may look into another one here")
    assert said.returncode == 0, said.stdout + said.stderr
    for system in systems.PROJECT:
        assert f"{system.name}: " in said.stdout
    for layer in profiling.LAYERS:
        assert said.stdout.count(f"\n  {layer} ") >= len(systems.PROJECT)


TWIN = """
import body
from tasks import app

def forgets(number):
    return number if number == 3 else body.work(number)

def repeats(number):
    if number == 3:
        body.work(number)
    return body.work(number)

work = app.task(name="work", queue="io", ignore_result={ignored})({name})
send = work.delay
"""


@pytest.mark.parametrize(
    ("name", "ignored", "said"),
    [
        ("body.work", "False", None),
        ("forgets", "False", "ran 9 of 10 tasks, and then none for 10 seconds"),
        ("repeats", "False", "did not run each task once: task 3 2 times"),
        ("body.work", "True", "left 0 results of 10 tasks, not 10"),
    ],
)
def test_worker_that_does_not_do_its_work_is_an_error(tmp_path, monkeypatch, name, ignored, said):
    """Twins of our threads: one forgets a task, one runs it twice, one stores no result."""
    (tmp_path / "interlock_app.py").write_text(TWIN.format(name=name, ignored=ignored))
    monkeypatch.setattr(ledger, "STALLED", 10.0)
    monkeypatch.setattr(turns, "STORED_WITHIN", 3.0)
    twin = replace(systems.OUR_THREADS, folder=tmp_path)
    if said is None:
        assert turns.turn(twin, Work("results stored", (twin,), 10), turns.QUICK, 1).per_second > 0
        return
    with pytest.raises(WrongError, match=said):
        turns.turn(twin, Work("results stored", (twin,), 10), turns.QUICK, 1)


def test_worker_that_ends_is_an_error_at_once(tmp_path):
    child = Child("short", [sys.executable, "-c", "raise SystemExit('no broker')"], tmp_path / "log", {})
    with Ledger(tmp_path / "ledger", 5) as noted, pytest.raises(WrongError, match=r"ran 0 of 5 tasks: .*no broker"):
        noted.wait(child)
    child.stop(0)


def made(system, number, per_second):
    return Turn("results stored", system.name, number, per_second, 2 * per_second, QUIET, QUIET)


def shown(measured, capsys):
    console = Console(width=report.WIDTH, highlight=False, markup=False)
    report.show(console, PLAN, [Work("results stored", (systems.CELERY_THREADS, systems.OUR_THREADS), 10)], measured)
    return capsys.readouterr().out


def test_ratios_are_taken_turn_by_turn(capsys):
    celery, ours = systems.CELERY_THREADS, systems.OUR_THREADS
    measured = Measured([made(celery, 1, 100.0), made(ours, 1, 200.0), made(ours, 2, 50.0), made(celery, 2, 100.0)])
    text = shown(measured, capsys)
    assert "100 (100..100)" in text
    assert "125 (50..200)" in text
    assert "1.25 (0.50..2.00)" in text


def test_row_that_was_wrong_once_has_no_figure(capsys):
    celery, ours = systems.CELERY_THREADS, systems.OUR_THREADS
    turned = [made(celery, 1, 100.0), made(celery, 2, 100.0), made(ours, 1, 777.0)]
    text = shown(Measured(turned, ["turn 2, results stored, Interlock, threads: ran 9 of 10 tasks"]), capsys)
    assert "777" not in text
    assert "WRONG: turn 2, results stored, Interlock, threads: ran 9 of 10 tasks" in text


def test_wrong_turn_does_not_stop_the_others(monkeypatch):
    work = Work("results stored", (systems.OUR_THREADS, systems.OUR_COROUTINES), 10)

    def turn(system, *_):
        if system is systems.OUR_THREADS:
            raise WrongError("ran 9 of 10 tasks")
        return made(system, 1, 100.0)

    monkeypatch.setattr(turns, "turn", turn)
    measured = turns.measure(Plan(turns=1), [work], lambda _: None)
    assert measured.wrong == ["turn 1, results stored, Interlock, threads: ran 9 of 10 tasks"]
    assert [turn.system for turn in measured.turns] == [systems.OUR_COROUTINES.name]


def test_stock_celery_has_the_settings_of_the_project(monkeypatch, tmp_path):
    """Else the ratios compare settings."""
    from tasks import app

    for name, value in {"RESULTS": "kept", "SECONDS": "0", "LEDGER": str(tmp_path / "ledger")}.items():
        monkeypatch.setenv(f"BENCH_{name}", value)
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    (tmp_path / "ledger").write_bytes(bytes(24))
    monkeypatch.syspath_prepend(str(systems.APPS))
    stock = importlib.import_module("celery_app")
    app.set_current()
    app.set_default()
    assert {name: app.conf[name] for name in stock.OURS} == stock.OURS


def test_look_belongs_to_its_innermost_layer():
    own, site = f"loop ({ROOT}/tasks/transport/channel.py)", "/v/lib/python3/site-packages"
    lines = [
        f"process 7:python -m celery;{own};send ({site}/redis/connection.py);sendall (/usr/lib/python3/socket.py) 3",
        f"process 7:python -m celery;{own} 2",
        "process 7:python -m celery;run (/usr/lib/python3/threading.py) 1",
        "process 7:python -m celery 1",
        f"{own};_find_and_load (<frozen importlib._bootstrap>);x ({site}/kombu/a.py) 9",
    ]
    assert profiling.sorted_out(lines) == {
        "redis-py": Counter({"send (redis/connection.py)": 3}),
        "Interlock": Counter({"loop (transport/channel.py)": 2}),
        "Python itself": Counter({"run (python3/threading.py)": 1, profiling.NO_FRAME: 1}),
    }


def test_profile_and_save_exclude_each_other(capsys):
    with pytest.raises(SystemExit):
        program.main(["--profile", "--save"])
    assert "give one of them" in capsys.readouterr().err
