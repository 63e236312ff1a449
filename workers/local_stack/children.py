"""Child processes that end together and leave nothing behind."""

import ctypes
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]  # the checkout: children import tasks and workers from here
PR_SET_PDEATHSIG = 1  # prctl(2)


def ended_with_parent() -> Callable[[], None] | None:
    """Return what a child calls first, on Linux: then the system tells it to stop if its parent is killed."""
    if not sys.platform.startswith("linux"):
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # the parent was killed just now
            os._exit(1)

    return ask


class Child:
    """A child process, the leader of a process group. Its output goes to a file."""

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
                start_new_session=True,  # Ctrl-C reaches only the parent, which ends its children in order
                preexec_fn=ended_with_parent(),  # one system call: it takes no lock
            )

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self.process.poll() is None

    def ask_to_stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send the process a signal, if it runs."""
        if self.running:
            self.process.send_signal(number)

    def stop(self, patience: float) -> None:
        """Wait `patience` seconds at most for the process to end, then kill the rest of its group."""
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
        """Return how the process ended: by which signal, or with which exit code and which line that explains it."""
        code = self.process.returncode
        if code is not None and code < 0:
            return f"{self.name} was ended by {signal.Signals(-code).name}"
        return f"{self.name} ended with exit code {code}: {self.last_words()}"

    def last_words(self) -> str:
        """Return the last error that the process printed, else its last line."""
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip(" ^~")]
        errors = [line for line in lines if re.match(r"[\w.]+(Error|Exception)\b", line)]
        return (errors or lines or ["it printed nothing"])[-1].strip()
