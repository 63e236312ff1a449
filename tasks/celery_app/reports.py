"""What a run of a task reports while it goes on: the lines that it printed, and how far it has come.

A report travels as a state of the task, through Redis. Each such state has the whole report (of its lines, the last
ones), so a later one replaces an earlier one, and a state that is lost does no harm. The state of the task's end brings
the report along, so it can be read until the result expires.
"""

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

PRINTED = "PRINTED"  # the state of a task that has just printed a line; Flower sees neither state: it reads events
PROGRESS = "PROGRESS"  # the state of a task that has just said how far it has come
REPORT_STATES = frozenset((PRINTED, PROGRESS))
REPORT_FIELD = "report"  # of the state of a task's end
LINES_KEPT = 20  # lines in a report
CHARACTERS_KEPT_MAX = 100_000  # characters of these lines in the state of a task's end: with more, it keeps none
PROGRESS_EVERY = 0.2  # seconds between two states that say how far a task has come


class Report:
    """The report of one run of a task. Any thread of the run may change it.

    Args:
        where: where the run is: `host`, `pid` and `worker`.
    """

    def __init__(self, where: dict[str, Any]) -> None:
        self._where = where
        self._mutex = threading.Lock()
        self._run = uuid.uuid4().hex[:8]
        self._number = 0  # of the last line, counted from 1
        self._texts: deque[str] = deque(maxlen=LINES_KEPT)
        self._progress: tuple[float, float] | None = None  # done, total
        self._sent: tuple[float, float] | None = None  # the progress that was sent last, on its own
        self._due = 0.0  # on time.monotonic(): progress is not sent on its own before

    def add_line(self, text: str) -> None:
        """Add a line."""
        with self._mutex:
            self._number += 1
            self._texts.append(text)

    def set_progress(self, done: float, total: float) -> bool:
        """Note how far the run has come; return whether to send that now: not too often, but the end in any case."""
        with self._mutex:
            self._progress = done, total
            now = time.monotonic()
            if self._progress == self._sent or (now < self._due and done < total):
                return False
            self._sent, self._due = self._progress, now + PROGRESS_EVERY
            return True

    def as_json(self) -> dict[str, Any]:
        """Return the report as it is stored: with the name of the run, and the number of its last line."""
        with self._mutex:
            said = {"run": self._run, "number": self._number, "texts": list(self._texts), **self._where}
            return said if self._progress is None else {**said, "progress": list(self._progress)}


_reports: WeakKeyDictionary[Any, Report] = WeakKeyDictionary()  # keyed by the request, of which each run has its own


def report_of(request: Any, where: Callable[[], dict[str, Any]]) -> Report:
    """Return the report of the run that has this request. `where` is called once, for a new report."""
    found = _reports.get(request)
    return _reports.setdefault(request, Report(where())) if found is None else found


def kept(request: Any) -> dict[str, Any] | None:
    """Return what the state of a task's end brings along of its report; None: the run has reported nothing."""
    report = None if request is None else _reports.get(request)
    if report is None:
        return None
    said = report.as_json()
    return said if sum(map(len, said["texts"])) <= CHARACTERS_KEPT_MAX else {**said, "texts": []}


def read(state: dict[str, Any]) -> dict[str, Any]:
    """Return the report in a stored state of a task; {} if there is none."""
    found = state.get(REPORT_FIELD) or (state.get("status") in REPORT_STATES and state.get("result"))
    return found if isinstance(found, dict) and "run" in found else {}  # a program may use such a state for its own
