"""Procedures that ask Redis and wait, written once for threads and for coroutines.

A procedure is a generator. It yields what it needs, which is a command for Redis, a rest or a call that blocks, and
gets the outcome sent back. The function that takes its steps decides how: `run` here blocks the thread,
`interlock.aio` awaits. (Protocols without I/O of their own: https://sans-io.readthedocs.io.)
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
    """Wakes the one thread or coroutine that rests on it, now or as soon as it comes to rest.

    This uses a lock and no Event: if a signal handler raises an exception inside an Event's Python code, the Event
    stays locked for ever.
    """

    def __init__(self) -> None:
        self._free_when_woken = threading.Lock()
        self._free_when_woken.acquire()
        self.on_wake: Callable[[], None] | None = None  # what wakes a coroutine that rests on this

    @property
    def woken(self) -> bool:
        """Whether a wake-up has come that no thread has taken yet."""
        return not self._free_when_woken.locked()

    def wake(self) -> None:
        """Wake the thread or coroutine that rests on this, once."""
        with suppress(RuntimeError):  # it was woken already, perhaps by another thread at this moment
            self._free_when_woken.release()
        if self.on_wake is not None:
            self.on_wake()

    def take(self) -> bool:
        """Take the wake-up. Return whether there was one."""
        return self._free_when_woken.acquire(blocking=False)

    def rest(self, seconds: float | None) -> bool:
        """Rest until woken, or for `seconds`; None: no limit. Return whether there was a wake-up."""
        limit = -1 if seconds is None else min(max(0.0, seconds), threading.TIMEOUT_MAX)
        return self._free_when_woken.acquire(timeout=limit)


@dataclass(frozen=True, slots=True)
class Rest:
    """Rest until woken, or for `seconds`; the outcome is whether there was a wake-up."""

    signal: Signal
    seconds: float | None  # None: no limit
    pausing: bool = False  # True within a procedure that must finish, such as a release: `endable` does not end it


@dataclass(frozen=True, slots=True)
class Blocking:
    """Call this function, which may block for long; the outcome is what it returns."""

    function: Callable[[], Any]


Command: TypeAlias = tuple[str | int, ...]
Step: TypeAlias = Command | Rest | Blocking
Steps: TypeAlias = Generator[Step, Any, Result]
"""A procedure that results in a `Result`."""


def patiently(
    ask: Callable[[], Steps[Result]], until: float, note: Callable[[Exception], None] = lambda _: None
) -> Steps[Result]:
    """Ask, and ask again while Redis does not answer, until the time `until` on time.monotonic().

    Only for questions that are safe to send twice. This calls `note` with each error that makes it ask again, and with
    the last one, which it raises.
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
    """Return a rest of that many seconds."""
    return Rest(Signal(), seconds, pausing=True)


def ended(steps: Steps[Any]) -> bool:
    """Whether a procedure has taken its last step. If so, an exception at that step came out of the procedure."""
    return inspect.getgeneratorstate(steps) == inspect.GEN_CLOSED


def run(steps: Steps[Result], call: Callable[..., Any], error: BaseException | None = None) -> Result:
    """Take the steps of a procedure in this thread, which blocks. Return the procedure's result.

    An exception that interrupts a step is raised inside the procedure, which cleans up.
    """
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
