"""An event loop in a thread of its own, and a watchdog that names a coroutine that blocks the loop."""

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Coroutine, Generator
from contextvars import ContextVar
from types import FrameType
from typing import Any

log = logging.getLogger(__name__)

LOOKS = 4  # times that the watchdog looks in the time after which it warns

described: ContextVar[str] = ContextVar("workers.described", default="")
"""The task that a coroutine belongs to, for people. Coroutines that it starts inherit this."""


class EventLoop:
    """Runs coroutines until it is stopped, whatever they raise."""

    def __init__(self, blocked_after: float) -> None:
        """Make an event loop that warns of a coroutine that blocks it for `blocked_after` seconds."""
        self.blocked_after = blocked_after
        self._stopping = threading.Event()
        self._asked = 0.0  # monotonic: when the watchdog asked the loop last
        self._answered = threading.Event()
        self._answered.set()
        self._runner = asyncio.Runner(loop_factory=_made)
        self.loop = self._runner.get_loop()
        self._thread = threading.Thread(target=self._run, name="event-loop", daemon=True)
        self._watchdog = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Start the two threads."""
        self._thread.start()
        self._watchdog.start()

    def call(self, step: Callable[[], None]) -> None:
        """Have the loop call a function soon. Any thread may call this."""
        self.loop.call_soon_threadsafe(step)

    @property
    def blocked_for(self) -> float:
        """For how many seconds the loop has not answered the watchdog; 0 if it has."""
        return 0.0 if self._answered.is_set() else time.monotonic() - self._asked

    def stop(self, patience: float) -> None:
        """Cancel the coroutines that still run, and wait `patience` seconds at most for their end."""
        self._stopping.set()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(patience)

    def _run(self) -> None:
        with self._runner:
            while not self._stopping.is_set():
                try:
                    self.loop.run_forever()
                except (SystemExit, KeyboardInterrupt) as error:  # from a coroutine that another one started
                    log.error("a coroutine raised %r, which ends a process: the worker goes on", error)

    # --- the watchdog ---

    def _watch(self) -> None:
        while not self._stopping.wait(self.blocked_after / LOOKS):
            self._asked = time.monotonic()
            self._answered.clear()
            self.loop.call_soon_threadsafe(self._answered.set)
            if self._answered.wait(self.blocked_after) or self._stopping.is_set():
                continue
            task, frame = asyncio.current_task(self.loop), sys._current_frames().get(self._thread.ident or 0)
            if task is not None and frame is not None:
                log.warning("%s blocks the event loop, all others wait: %s", task.get_name(), _where(frame))
            else:
                log.warning("the event loop has not run for %.1f s: is the machine overloaded?", self.blocked_after)
            del frame
            while not (self._answered.wait(self.blocked_after) or self._stopping.is_set()):
                pass
            log.warning("the event loop was blocked for %.1f s", time.monotonic() - self._asked)


def _made() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_task_factory(_named)
    return loop


def _named(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any] | Generator[Any, None, Any], **options: Any
) -> asyncio.Task[Any]:
    """Return an asyncio task with the name of the Celery task that it belongs to, for the watchdog."""
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)
    context = options.get("context")
    if name := described.get() if context is None else context.get(described, ""):
        task.set_name(name)
    return task


def _where(frame: FrameType) -> str:
    """Return the line that runs, and the calls that lead to it from the event loop."""
    calls = traceback.extract_stack(frame)
    first = max((n + 1 for n, call in enumerate(calls) if call.filename == asyncio.events.__file__), default=0)
    return " > ".join(f"{call.filename}:{call.lineno} in {call.name}" for call in calls[first:] if call.name != "_step")
