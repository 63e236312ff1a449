"""What tasks print, and how far they have come, as the producer sees it at once.

`say` and `progress` are for tasks, `watch` is for the producer.
Both travel as states of the task, through Redis: see `tasks/celery_app/reports.py`. So a producer sees the lines of all
its tasks in the order in which they reached Redis. While Redis is away, a state may be lost or come twice: therefore
each repeats the lines before it.
"""

import os
import socket
from collections import deque
from dataclasses import dataclass
from typing import Any

from celery import states
from celery.result import AsyncResult, GroupResult, ResultSet

from interlock._text import one_line, printable
from tasks.celery_app import checks, message, reports
from tasks.celery_app.reports import PRINTED, PROGRESS, Report
from tasks.celery_app.results import PatientConsumer
from tasks.support.display import Display

AMOUNT_MAX = 10**15  # of what progress counts: a page's script counts exactly up to nine times as many


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
            report = _report(running)
            report.add_line(line)
            _send(report, running, PRINTED)


def progress(done: float, total: float) -> None:
    """Say how far the task has come: a bar in the terminal of whoever watches its result, and in Flower.

    A task may call this as often as it likes: at most five a second are sent, and the one with `done == total` in any
    case. A worker of threads or coroutines sends it soon; one of processes before this returns, in one round trip, and
    while Redis is away, it waits as for a result. Outside a task, this only checks the arguments.

    Args:
        done: how much is done, 0 to `total`, in any unit: items, bytes, seconds. It may step back.
        total: how much there is to do, 0 to 10**15.

    Raises:
        TypeError: one of them is no number.
        ValueError: one of them is out of its range.
    """
    checks.amount("total", total, AMOUNT_MAX)
    checks.amount("done", done, total)
    if (running := message.current.get()) is not None:
        report = _report(running)
        if report.set_progress(done, total):
            _send(report, running, PROGRESS)


def _report(running: message.Message) -> Report:
    """Return the report of the message that this process runs."""
    request = running.request
    return reports.report_of(request, lambda: {**place(), "worker": one_line(request.hostname.partition("@")[0])})


def _send(report: Report, running: message.Message, state: str) -> None:
    """Send a report to the producer of the message that this process runs."""
    running.task.backend.store_result(running.request.id, report.as_json(), state, request=running.request)


def watch(result: AsyncResult | GroupResult | ResultSet, timeout: float = 600) -> tuple[Any, list[Line]]:
    """Wait for results, and print the lines of their tasks as they arrive, and how far the tasks have come.

    In a terminal, the tasks that call `progress` have bars, without colours if NO_COLOR is set. Elsewhere, a line says
    each tenth of the whole.

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
    with Display(len(ours)) as shows:

        def receive(message: dict[str, Any]) -> None:
            id, ended = message["task_id"], message["status"] in states.READY_STATES
            if not ended and message["status"] not in reports.REPORT_STATES:
                return
            said, name = reports.read(message), str(message.get("name") or "").rpartition(".")[2]
            if id not in ours:
                if said:
                    _others.append(
                        {"task_id": id, "name": name, "status": message["status"], reports.REPORT_FIELD: said}
                    )
                return
            if said:
                for line in _new_lines(said, shown, id):
                    lines.append(line)
                    print(f"{line.text:<44} {line.worker}@{line.host} pid {line.pid}", flush=True)
                if "progress" in said:
                    shows.advance(id, f"{name} {id[:8]}".strip(), *said["progress"])
            if ended:
                shows.end(id)

        for _ in range(len(_others)):
            receive(_others.popleft())
        try:
            returned = result.get(timeout=timeout, on_message=receive)
        finally:
            consumer = getattr(result.backend, "result_consumer", None)
            if isinstance(consumer, PatientConsumer):  # else the task ran here, eagerly
                consumer.read_what_has_come(receive)
        for id in ours:  # also those whose end was stored before this process listened
            shows.end(id)
        return returned, lines


def _new_lines(said: dict[str, Any], shown: dict[tuple[str, str], int], id: str) -> list[Line]:
    """Return the lines of a report that were not shown yet, and note that they are."""
    seen = shown.get((id, said["run"]), 0)
    if said["number"] <= seen:
        return []
    shown[id, said["run"]] = said["number"]
    where = said["host"], said["pid"], said["worker"]
    return [Line(text, *where) for text in said["texts"][seen - said["number"] :]]


_others: deque[dict[str, Any]] = deque(maxlen=10_000)
"""Messages of tasks that this process does not watch yet: one subscription brings the results of all its tasks."""


def _ids(result: Any) -> set[str]:
    """Return the id of a task, or the ids of the tasks of a group or chord."""
    parts = result.results if isinstance(result, ResultSet) else []
    own = set().union(*(_ids(part) for part in parts)) if parts else {result.id}
    parent = getattr(result, "parent", None)
    return own | (_ids(parent) if parent is not None else set())
