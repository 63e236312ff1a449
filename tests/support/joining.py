"""`python -m workers join`: as it is refused, and as it runs until a test has ended it."""

import os
import subprocess
import sys
import uuid
from contextlib import contextmanager

from local_stack import MARK, marked, variables
from peers import wait_until

from workers.local_stack.children import ROOT

JOINED = "takes tasks"  # what it says when all its workers do


def refused(folder, *words, code=1, **more):
    """What it says, if it ends by itself with that code, has started nothing, and leaves no file."""
    mark = uuid.uuid4().hex
    said = subprocess.run(
        [sys.executable, "-m", "workers", "join", *words],
        cwd=ROOT, env=variables(TMPDIR=str(folder), **{MARK: mark}, **more), capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert said.returncode == code, said
    assert said.stdout == "", "nothing was begun"
    assert "Traceback" not in said.stderr
    assert marked(mark) == []
    assert list(folder.iterdir()) == []
    return said.stderr


class Joined:
    """A machine that joins. Whatever is left of it is killed at the end."""

    def __init__(self, folder, *words, before=(), **more):
        folder.mkdir()
        self.mark, self.folder, self.log = uuid.uuid4().hex, folder, folder.with_suffix(".output")
        with self.log.open("w") as file:
            self.process = subprocess.Popen(
                [*before, sys.executable, "-m", "workers", "join", *words],
                cwd=ROOT, env=variables(TMPDIR=str(folder), **{MARK: self.mark}, **more), stdout=file,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def output(self):
        return self.log.read_text()

    def wait_until_ready(self, within=120.0):
        wait_until(lambda: JOINED in self.output() or self.process.poll() is not None, within, "the machine's workers")
        assert JOINED in self.output(), self.output()

    def stop(self, number, within=60.0):
        """Send it a signal, and see that nothing is left; its exit code."""
        os.kill(self.process.pid, number)
        code = self.process.wait(within)
        assert "Traceback" not in self.output(), self.output()
        assert marked(self.mark) == [], self.output()
        assert list(self.folder.iterdir()) == []
        return code

    def kill(self):
        for each in marked(self.mark):
            each.kill()
        self.process.wait()


@contextmanager
def joining(folder, *words, **more):
    """A machine that joins, whether it is ready or not."""
    machine = Joined(folder, *words, **more)
    try:
        yield machine
    finally:
        machine.kill()
