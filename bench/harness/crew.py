"""Processes that are started before the clock is, and then measure together.

A crew serves one turn of one lock: what a lock leaves behind in a process ends with it. Each call has two steps.
`prepare` has the members connect and warm up until all say that they are ready; `go` gives them one window of time,
on CLOCK_MONOTONIC, which all processes of one machine share.
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
AHEAD = 50_000_000  # ns between the last one's being ready and the start


@dataclass(frozen=True)
class Window:
    """When to measure, in ns on CLOCK_MONOTONIC."""

    start: int
    stop: int

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.stop - self.start) / 1e9


Gate = Callable[[], Window]
"""What a member calls when it is ready; returns when the window begins."""


class CrewError(Exception):
    """A member failed, or did not answer in time; the text says which and why."""


def _member(pipe: Connection, inherited: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the end of the pipe says when

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
        except Exception:  # whatever it is: the parent tells it
            answer = "failed", traceback.format_exc()
        with contextlib.suppress(OSError):  # the parent has closed its end: the next recv says so
            pipe.send(answer)


class Crew:
    """So many processes; a context manager that ends them.

    Args:
        members: how many.
        inherited: what each function gets first: locks of multiprocessing travel to a process only as it starts.
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
            process.kill()  # by its handle; nothing if it has ended
            process.join()

    def prepare(
        self, function: Callable[..., Any], *arguments: Any, members: int | None = None, numbered: bool = False
    ) -> None:
        """Have the first so many members (None: all) call `function(*arguments, gate)`, up to its gate.

        `numbered`: the member's number, from 0, comes before the arguments.
        """
        self._busy = self._pipes[:members]
        for number, pipe in enumerate(self._busy):
            pipe.send((function, (number, *arguments) if numbered else arguments))
        self._answers("ready", time.monotonic() + READY_WITHIN)

    def go(self, seconds: float) -> tuple[Window, list[Any]]:
        """Open the gate for so many seconds: the window, and what each member's function returns."""
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
