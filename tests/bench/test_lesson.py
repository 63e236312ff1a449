"""`make lesson` measures on real workers, and its table and picture are made of what was measured."""

import json
import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from bench.lesson import __main__ as lesson
from bench.lesson import page, picture
from workers.local_stack.children import ROOT

TINY = """
import sys
from bench.lesson import __main__ as lesson, page, picture
from pathlib import Path
page.RESULTS = Path(sys.argv[1], "results", "lesson.json")
page.PAGE = Path(sys.argv[1], "lesson.md")
picture.PICTURE = Path(sys.argv[1], "lesson.svg")
if __name__ == "__main__": sys.exit(lesson.main(["--quick", "--save"]))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A lesson of a few pieces, saved into a folder: what it printed, and the folder."""
    folder = tmp_path_factory.mktemp("lesson")
    (folder / "lesson.md").write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n")
    said = subprocess.run(
        [sys.executable, "-c", TINY, str(folder)], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert said.returncode == 0, said.stdout + said.stderr
    return said, folder


@pytest.fixture
def figures(run):
    return json.loads((run[1] / "results" / "lesson.json").read_text())


@pytest.mark.long
def test_pieces_ran_in_the_processes_of_their_pool(figures):
    ran = {(each["pool"], each["at_once"], each["kind"]): each for each in figures["ran"]}
    assert {pool for pool, _, _ in ran} == {"one thread", "threads", "processes", "coroutines"}
    for kind in ("cpu", "io"):
        for pool in ("threads", "coroutines"):
            assert ran[pool, 2, kind]["processes"] == 1
        assert ran["processes", 2, kind]["processes"] == 2
        assert ran["one thread", 1, kind]["processes"] == 1
    assert all(seconds > 0 for each in figures["ran"] for seconds in each["seconds"])


@pytest.mark.long
def test_waits_of_threads_and_coroutines_overlap_and_of_one_do_not(figures):
    """Waits that follow each other cannot end sooner than all of them last; those that do overlap."""
    rows = {(row.pool, row.at_once): row for row in page.rows(figures)}
    plan = figures["plan"]
    whole = plan["pieces"] * plan["pause"]
    assert rows["one thread", 1].io_seconds >= whole
    for pool in ("threads", "coroutines"):
        assert whole / 2 <= rows[pool, 2].io_seconds < whole
    for each in figures["many"]:
        assert each["seconds"] < each["at_once"] * plan["many_pause"]


@pytest.mark.long
def test_processes_take_more_memory_than_threads(figures):
    rows = {(row.pool, row.at_once): row for row in page.rows(figures)}
    assert rows["threads", 2].processes == rows["coroutines", 2].processes == 1
    assert rows["processes", 2].processes >= 3  # the two, and the one that started them
    assert 10 < rows["threads", 2].own_mb < rows["processes", 2].own_mb <= rows["processes", 2].resident_mb


@pytest.mark.long
def test_table_is_printed_and_written_into_the_page(run, figures):
    said, folder = run
    written = (folder / "lesson.md").read_text()
    assert written.startswith("before\n")
    assert written.endswith("after\n")
    assert "old" not in written
    assert page.markdown(figures) in written
    for row in page.rows(figures):
        assert f"| {' | '.join(row.cells())} |" in written
        assert re.search(r"\s+".join(map(re.escape, row.cells())), said.stdout)
    assert f"{lesson.cores()} core" in written
    assert lesson.python() in written


@pytest.mark.long
def test_picture_has_a_bar_and_a_figure_for_each_value(run, figures):
    drawn = ElementTree.parse(run[1] / "lesson.svg").getroot()
    rows = page.rows(figures)[1:]
    bars = [each for each in drawn.iter() if each.tag.endswith("rect") and float(each.get("height")) != 12]
    assert len(bars) == 3 * len(rows)
    shown = [each.text for each in drawn.iter() if each.tag.endswith("text")]
    for row in rows:
        assert row.pool in shown
        assert {f"{row.cpu_speedup:.1f}", f"{row.io_speedup:.1f}", f"{row.own_mb:.0f}"} <= set(shown)


@pytest.mark.parametrize(("busy", "told"), [(3.0, False), (60.0, True)])
@pytest.mark.long
def test_busy_machine_is_told(figures, capsys, busy, told):
    page.show({**figures, "others": [busy] * 3})
    said = capsys.readouterr().out
    assert f"between the workers: {busy:.0f} % of the processors" in said
    assert ("Run it on a quiet machine" in said) == told


@pytest.mark.long
def test_progress_is_told(run):
    assert "processes, 2 at once" in run[0].stderr
    assert "coroutines, 40 at once" in run[0].stderr


TWIN = """
import dataclasses, sys
from bench.lesson import __main__ as lesson, pools
pools.POOLS, pools.MANY = (dataclasses.replace(pools.POOLS[1], option="threads"),), ()
if __name__ == "__main__": sys.exit(lesson.main(["--quick", "--picture", sys.argv[1]]))
"""


@pytest.mark.long
def test_pool_that_has_other_processes_than_it_says_is_told(tmp_path):
    """A twin: what it calls processes are threads. No figures of that are a lesson."""
    said = subprocess.run(
        [sys.executable, "-c", TWIN, str(tmp_path / "twin.svg")],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert said.returncode == 1, said.stdout + said.stderr
    assert "WRONG: processes, 2 at once, cpu: 1 processes took part" in said.stdout


@pytest.mark.long
def test_worker_that_does_not_start_is_one_line(tmp_path):
    code = TWIN.replace("pools.POOLS, ", "pools.ONE, pools.POOLS, ")
    code = code.replace("= (dataclasses", "= dataclasses").replace('option="threads"),)', 'option="no-such-pool"), ()')
    said = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "twin.svg")],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert said.returncode == 1
    (line,) = [line for line in said.stderr.splitlines() if "error:" in line]
    assert "no-such-pool-1 ended with exit code" in line
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize(
    ("free_threaded", "with_gil", "text"),
    [
        (False, True, ", with the GIL"),
        (True, True, ", free-threaded build, but the GIL is on"),
        (True, False, ", free-threaded build, without the GIL"),
    ],
)
def test_free_threaded_build_is_told_apart(free_threaded, with_gil, text):
    assert lesson.described(free_threaded, with_gil) == f"CPython {sys.version.split()[0]}{text}"


def test_page_and_picture_are_those_of_the_saved_figures():
    saved = json.loads(page.RESULTS.read_text())
    assert page.markdown(saved) in page.PAGE.read_text()
    assert picture.draw(saved) == picture.PICTURE.read_text()
