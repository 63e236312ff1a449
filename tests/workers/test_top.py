"""`python -m workers top`: the screen of `status`, live on a terminal, and as plain lines elsewhere."""

import os
import pty
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest
from peers import wait_until

import interlock
from workers.local_stack.children import ROOT
from workers.local_stack.redis_server import free_port

COLOURS = re.compile(r"\x1b\[[\d;]*m")


class Output:
    """What a program has written so far."""

    def __init__(self, descriptor):
        self.text = ""
        self._thread = threading.Thread(target=self._read, args=(descriptor,), daemon=True)
        self._thread.start()

    def _read(self, descriptor):
        try:
            while some := os.read(descriptor, 65536):
                self.text += some.decode(errors="replace")
        except OSError:  # the other side of a terminal is closed
            pass

    def join(self):
        self._thread.join(10)


@contextmanager
def top(env, terminal=False):
    """The program with its output; at the end it gets Ctrl-C, and must end in order."""
    reader, writer = pty.openpty() if terminal else os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "workers", "top", "--every", "0.2"],
        cwd=ROOT, env={**env, "COLUMNS": "150", "LINES": "50", "TERM": "xterm-256color"}, stdout=writer, stderr=writer,
    )  # fmt: skip
    os.close(writer)
    output = Output(reader)
    try:
        yield output
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0, output.text
        output.join()
    finally:
        process.kill()
        process.wait()
        os.close(reader)


def test_plain_lines_come_again_and_again_where_there_is_no_terminal(stack):
    with top(stack.env) as output:
        wait_until(lambda: output.text.count("Workers") >= 3, within=60, what="the third screen")
    assert "\x1b" not in output.text
    assert "Traceback" not in output.text


@pytest.mark.parametrize("colours", [True, False])
def test_terminal_shows_it_live_and_gets_its_own_screen_back(stack, colours):
    env = {**stack.env} if colours else {**stack.env, "NO_COLOR": "1"}
    if colours:
        env.pop("NO_COLOR", None)
    with top(env, terminal=True) as output:
        wait_until(lambda: output.text.count("Workers") >= 3, within=60, what="the third screen")
    assert output.text.index("\x1b[?1049h") < output.text.index("Workers") < output.text.rindex("\x1b[?1049l")
    found = {code for code in COLOURS.findall(output.text) if re.search(r"[349]\d", code)}
    assert bool(found) == colours


def test_lock_shows_while_it_is_held(stack, monkeypatch):
    for name in ("REDIS_URL", "INTERLOCK_PREFIX"):
        monkeypatch.setenv(name, stack.env[name])
    lock = interlock.Lock(name="shown-by-top")
    with top(stack.env) as output:
        wait_until(lambda: "Workers" in output.text, within=60, what="the first screen")
        with lock:
            wait_until(lambda: "shown-by-top" in output.text, within=30, what="the lock")
        seen = len(output.text)
        wait_until(lambda: output.text[seen:].count("Workers") >= 3, within=30, what="three more screens")
        assert "shown-by-top" not in output.text[seen:].rpartition("Workers")[2]


def test_outage_is_a_line_on_a_screen_that_goes_on(stack):
    env = {**stack.env, "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}
    with top(env) as output:
        wait_until(lambda: output.text.count("no Redis answers") >= 2, within=60, what="the second screen")
    assert "Traceback" not in output.text
