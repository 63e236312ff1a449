"""Procedures that ask Redis and wait, written once for threads and for coroutines.

A procedure is a generator: it yields what it needs, a command for Redis, a rest, or a call that blocks, and is sent
the outcome. What takes its steps decides how: `run` here blocks the thread, `interlock.aio` awaits. (Protocols without
I/O of their own: https://sans-io.readthedocs.io.)
"""

import inspect
import logging
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from interlock._io import endable
from interlock._io.wire import UNANSWERED

BACKOFF = 0.2  # seconds until the next try when Redis does not answer

Result = TypeVar("Result")
log = logging.getLogger("interlock")


class Signal:
    """Wakes one that rests on it, now or when it comes to rest.

    A lock and no Event: an exception raised by a signal handler inside an Event's Python code would leave it locked for
    ever.
    """

    def __init__(self) -> None:
        self._free_when_woken = threading.Lock()
        self._free_when_woken.acquire()
        self.on_wake: Callable[[], None] | None = None  # how a coroutine hears of it

    @property
    def woken(self) -> bool:
        """Whether it was woken and nobody has taken notice yet."""
        return not self._free_when_woken.locked()

    def wake(self) -> None:
        """Wake it, once."""
        with suppress(RuntimeError):  # it was woken already, perhaps at this moment by somebody else
            self._free_when_woken.release()
        if self.on_wake is not None:
            self.on_wake()

    def take(self) -> bool:
        """Take notice: whether it was woken."""
        return self._free_when_woken.acquire(blocking=False)

    def rest(self, seconds: float | None) -> bool:
        """Rest until woken, or for so long; whether it was woken."""
        limit = -1 if seconds is None else min(max(0.0, seconds), threading.TIMEOUT_MAX)
        return self._free_when_woken.acquire(timeout=limit)


@dataclass(frozen=True, slots=True)
class Rest:
    """Rest until woken, or for so long; the outcome is whether it was woken."""

    signal: Signal
    seconds: float | None  # None: for ever
    pausing: bool = False  # amid something that is to be finished, as a release: nobody ends it


@dataclass(frozen=True, slots=True)
class Blocking:
    """Call this, which may take its time; the outcome is what it returns."""

    function: Callable[[], Any]


Command: TypeAlias = tuple[str | int, ...]
Step: TypeAlias = Command | Rest | Blocking
Steps: TypeAlias = Generator[Step, Any, Result]
"""A procedure that results in a `Result`."""


def patiently(
    ask: Callable[[], Steps[Result]], until: float, note: Callable[[Exception], None] = lambda _: None
) -> Steps[Result]:
    """Ask again, until that time on time.monotonic(), while Redis does not answer: for what is safe to send twice.

    `note` is called with each reason for asking again.
    """
    while True:
        try:
            return (yield from ask())
        except UNANSWERED as error:
            note(error)
            if time.monotonic() >= until:
                raise
            log.warning("asking again, for Redis does not answer: %s", error)
        yield pause(BACKOFF)


def pause(seconds: float) -> Rest:
    """Rest for so long."""
    return Rest(Signal(), seconds, pausing=True)


def ended(steps: Steps[Any]) -> bool:
    """Whether a procedure has taken its last step: an exception then came out of it."""
    return inspect.getgeneratorstate(steps) == inspect.GEN_CLOSED


def run(steps: Steps[Result], call: Callable[..., Any], error: BaseException | None = None) -> Result:
    """Take the steps of a procedure, blocking this thread. What interrupts it is raised inside: it cleans up."""
    outcome: Any = None
    while True:
        try:
            step = steps.send(outcome) if error is None else steps.throw(error)
            error = None
            if isinstance(step, tuple):
                outcome = call(*step)
            elif isinstance(step, Rest):
                ending = None if step.pausing else endable.current.get()
                outcome = step.signal.rest(step.seconds) if ending is None else ending.rest(step.signal, step.seconds)
            else:
                outcome = step.function()
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        except BaseException as raised:
            if ended(steps):
                raise
            error = raised
