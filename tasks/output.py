"""What tasks print reaches the producer as it happens: `say` in a task, `watch` in the producer.

A line travels as a message of the task's result, through Redis, so a producer sees the lines of all its tasks in the
order in which they arrived there.
"""

import os
import socket
from collections import deque
from dataclasses import dataclass
from typing import Any

from celery import current_task
from celery.result import AsyncResult, GroupResult, ResultSet

PRINTED = "PRINTED"  # the state that carries a line; Flower, which goes by events, does not see it


@dataclass(frozen=True)
class Line:
    """A line that a task printed, and where it ran."""

    text: str
    host: str
    pid: int
    worker: str

    @property
    def process(self) -> tuple[str, int]:
        """The process, among all hosts."""
        return self.host, self.pid


def place() -> dict[str, Any]:
    """Where the caller runs: host and process id."""
    return {"host": socket.gethostname(), "pid": os.getpid()}


def say(text: str) -> None:
    """Print a line, here and where the task was enqueued."""
    print(text, flush=True)
    if current_task and not current_task.request.called_directly:
        line = {"text": text, **place(), "worker": current_task.request.hostname.partition("@")[0]}
        current_task.update_state(state=PRINTED, meta=line)


def watch(result: AsyncResult | GroupResult | ResultSet, timeout: float = 600) -> tuple[Any, list[Line]]:
    """Wait for results and print the lines of their tasks as they arrive.

    Args:
        result: what `delay` returned: of a task, a group or a chord.
        timeout: seconds, at most.

    Returns:
        The result, or the list of them, and the lines.

    Raises:
        celery.exceptions.TimeoutError: not done in time.
        Exception: what a task raised.
    """
    lines: list[Line] = []
    ours = _ids(result)

    def show(id: str, line: Line) -> None:
        if id not in ours:
            _others.append((id, line))
            return
        lines.append(line)
        print(f"{line.text:<44} {line.worker}@{line.host} pid {line.pid}", flush=True)

    def receive(message: dict[str, Any]) -> None:
        if message["status"] == PRINTED:
            show(message["task_id"], Line(**message["result"]))

    for _ in range(len(_others)):
        show(*_others.popleft())
    return result.get(timeout=timeout, on_message=receive), lines


_others: deque[tuple[str, Line]] = deque(maxlen=10_000)
"""Lines of tasks that nobody watches yet: all results of a process arrive by one subscription."""


def _ids(result: Any) -> set[str]:
    """The ids of a task, or of a group's or chord's tasks."""
    parts = result.results if isinstance(result, ResultSet) else []
    own = set().union(*(_ids(part) for part in parts)) if parts else {result.id}
    parent = getattr(result, "parent", None)
    return own | (_ids(parent) if parent is not None else set())
