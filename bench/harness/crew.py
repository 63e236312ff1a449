"""Start processes before the clock runs, then have them measure together.

A crew serves one turn of one lock, so that no turn finds in its processes what an earlier one left there.
A measurement has two steps. `prepare` has the members connect and warm up until each says that it is ready. `go` gives
all of them one window of time, on CLOCK_MONOTONIC, which all processes of a machine share.
"""

import contextlib
import multiprocessing
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Self

READY_WITHIN = 60.0  # seconds
DONE_WITHIN = 60.0  # seconds after the window: longer than any lock's lease
AHEAD = 50_000_000  # ns from when the last member is ready until the window begins


@dataclass(frozen=True)
class Window:
    """The time in which to measure, in ns on CLOCK_MONOTONIC."""

    start: int
    stop: int

    @property
    def seconds(self) -> float:
        """Return how long the window is."""
        return (self.stop - self.start) / 1e9


Gate = Callable[[], Window]
"""A function that a member calls when it is ready; it returns the window when the window begins."""


class CrewError(Exception):
    """A member has failed, or has not answered in time; the text says which member, and why."""


def _member(pipe: Connection, inherited: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the member ends when its pipe does

    def gate() -> Window:
        pipe.send(("ready", None))
        window: Window = pipe.recv()
        time.sleep(max(0.0, (window.start - time.monotonic_ns()) / 1e9))
        return window

    while True:
        try:
            function, arguments = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer = "done", function(*inherited, *arguments, gate)
        except EOFError:
            return
        except Exception:  # the parent raises it, whatever it is
            answer = "failed", traceback.format_exc()
        with contextlib.suppress(OSError):  # the parent may have closed its end: the next recv raises then
            pipe.send(answer)


class Crew:
    """A number of processes that measure together; a context manager, which ends them.

    Args:
        members: the number of processes.
        inherited: the first arguments of each function: a process can get locks of multiprocessing only as it starts.
    """

    def __init__(self, members: int, *inherited: Any) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes: list[multiprocessing.process.BaseProcess] = []
        self._busy: list[Connection] = []
        for _ in range(members):
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=_member, args=(theirs, inherited), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(5)
            process.kill()  # this does nothing if the process has ended
            process.join()

    def prepare(
        self, function: Callable[..., Any], *arguments: Any, members: int | None = None, numbered: bool = False
    ) -> None:
        """Have members call `function(*arguments, gate)`; return when each of them has reached its gate.

        Args:
            function: a function of a module, which can be pickled.
            arguments: its arguments.
            members: how many members call it, the first ones; None: all of them.
            numbered: whether the member's number, from 0, comes before the arguments.
        """
        self._busy = self._pipes[:members]
        for number, pipe in enumerate(self._busy):
            pipe.send((function, (number, *arguments) if numbered else arguments))
        self._answers("ready", time.monotonic() + READY_WITHIN)

    def go(self, seconds: float) -> tuple[Window, list[Any]]:
        """Open the gate for that many seconds; return the window, and what each member's function returned."""
        start = time.monotonic_ns() + AHEAD
        window = Window(start, start + round(seconds * 1e9))
        for pipe in self._busy:
            pipe.send(window)
        return window, self._answers("done", time.monotonic() + seconds + DONE_WITHIN)

    def _answers(self, wanted: str, until: float) -> list[Any]:
        answers = []
        for number, pipe in enumerate(self._busy):
            if not pipe.poll(max(0.0, until - time.monotonic())):
                raise CrewError(f"process {number} is not {wanted} in time")
            try:
                said, answer = pipe.recv()
            except EOFError:
                raise CrewError(f"process {number} has ended") from None
            if said != wanted:
                raise CrewError(f"process {number} {said}:\n{answer}")
            answers.append(answer)
        return answers
