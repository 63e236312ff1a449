"""The lines that tasks print, as the producer sees them at once: `say` in a task, `watch` in the producer.

A line travels as a message of the task's result, through Redis. So a producer sees the lines of all its tasks in the
order in which they reached Redis. While Redis is away, a message may be lost or come twice: therefore each message
repeats the lines before it.
"""

import os
import socket
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from celery.result import AsyncResult, GroupResult, ResultSet

from interlock._text import one_line, printable
from tasks.celery_app import message
from tasks.celery_app.results import PatientConsumer

PRINTED = "PRINTED"  # the state that carries lines; Flower does not see it, for it reads events
BROUGHT_ALONG = 20  # lines that a message repeats, its own included


@dataclass(frozen=True)
class Line:
    """A line that a task printed, and where it ran."""

    text: str
    host: str
    pid: int
    worker: str

    @property
    def process(self) -> tuple[str, int]:
        """The process, as no other on any host."""
        return self.host, self.pid


@dataclass
class Printed:
    """What one run of a task has printed."""

    run: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    number: int = 0  # of the last line, counted from 1
    texts: deque[str] = field(default_factory=lambda: deque(maxlen=BROUGHT_ALONG))


_printed: WeakKeyDictionary[Any, Printed] = WeakKeyDictionary()  # keyed by the request, of which each run has its own


def place() -> dict[str, Any]:
    """Return where the caller runs: host and process id."""
    return {"host": one_line(socket.gethostname()), "pid": os.getpid()}


def say(text: str) -> None:
    """Print a text line by line, here and where the task was enqueued.

    Half of a surrogate pair, as in the names of some files, is escaped: no stream could print it.
    """
    for line in printable(str(text)).splitlines() or [""]:
        print(line, flush=True)
        if (running := message.current.get()) is not None:
            _publish(line, running)


def _publish(line: str, running: message.Message) -> None:
    """Send a line to the producer of the message that this process runs."""
    request = running.request
    printed = _printed.setdefault(request, Printed())
    printed.number += 1
    printed.texts.append(line)
    worker = one_line(request.hostname.partition("@")[0])
    said = {"run": printed.run, "number": printed.number, "texts": list(printed.texts), **place(), "worker": worker}
    running.task.backend.store_result(request.id, said, PRINTED, request=request)


def watch(result: AsyncResult | GroupResult | ResultSet, timeout: float = 600) -> tuple[Any, list[Line]]:
    """Wait for results and print the lines of their tasks as they arrive.

    Args:
        result: what `delay` returned, for a task, a group or a chord.
        timeout: the longest wait, in seconds.

    Returns:
        The result, or the list of them, and the lines.

    Raises:
        celery.exceptions.TimeoutError: the tasks have not ended in time.
        Exception: whatever a task raised.
    """
    lines: list[Line] = []
    ours = _ids(result)
    shown: dict[tuple[str, str], int] = {}  # task id and run -> the number of the last line that was shown

    def receive(message: dict[str, Any]) -> None:
        if message["status"] != PRINTED:
            return
        if message["task_id"] not in ours:
            _others.append(message)
            return
        said = message["result"]
        seen = shown.get(run := (message["task_id"], said["run"]), 0)
        if said["number"] <= seen:
            return
        shown[run] = said["number"]
        for text in said["texts"][seen - said["number"] :]:
            line = Line(text, said["host"], said["pid"], said["worker"])
            lines.append(line)
            print(f"{line.text:<44} {line.worker}@{line.host} pid {line.pid}", flush=True)

    for _ in range(len(_others)):
        receive(_others.popleft())
    try:
        return result.get(timeout=timeout, on_message=receive), lines
    finally:
        consumer = getattr(result.backend, "result_consumer", None)
        if isinstance(consumer, PatientConsumer):  # else the task ran here, eagerly
            consumer.read_what_has_come(receive)


_others: deque[dict[str, Any]] = deque(maxlen=10_000)
"""Messages of tasks that this process does not watch yet: one subscription brings the results of all its tasks."""


def _ids(result: Any) -> set[str]:
    """Return the id of a task, or the ids of the tasks of a group or chord."""
    parts = result.results if isinstance(result, ResultSet) else []
    own = set().union(*(_ids(part) for part in parts)) if parts else {result.id}
    parent = getattr(result, "parent", None)
    return own | (_ids(parent) if parent is not None else set())
