"""Child processes that are ended as one, and leave nothing behind."""

import ctypes
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]  # of the checkout: children import tasks and workers from here
PR_SET_PDEATHSIG = 1  # prctl(2)


def ended_with_parent() -> Callable[[], None] | None:
    """What a child calls first, on Linux: if its parent is killed, it is told to stop."""
    if not sys.platform.startswith("linux"):
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it was killed just now
            os._exit(1)

    return ask


class Child:
    """One child process, the first of a process group of its own; what it prints goes to a file."""

    def __init__(self, name: str, command: Sequence[str], log: Path, variables: Mapping[str, str]) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **variables, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the parent alone, which ends its children in order
                preexec_fn=ended_with_parent(),  # one system call, nothing that takes a lock
            )

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def ask_to_stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send it a signal, if it runs."""
        if self.running:
            self.process.send_signal(number)

    def stop(self, patience: float) -> None:
        """Wait so many seconds for it to end, then kill what is left of its group."""
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            pass
        finally:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            except PermissionError:  # macOS, for a group whose processes have all ended
                if self.running:
                    raise
            self.process.wait()

    def ending(self) -> str:
        """How it ended: by which signal, or with which exit code and what line that says best why."""
        code = self.process.returncode
        if code is not None and code < 0:
            return f"{self.name} was ended by {signal.Signals(-code).name}"
        return f"{self.name} ended with exit code {code}: {self.last_words()}"

    def last_words(self) -> str:
        """The last error that it printed, else its last line."""
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip(" ^~")]
        errors = [line for line in lines if re.match(r"[\w.]+(Error|Exception)\b", line)]
        return (errors or lines or ["it printed nothing"])[-1].strip()
