"""Shared state: an array that tasks on several machines change, element by element. Queue `cpu`."""

from typing import Any

from interlock import Array
from tasks.celery_app import app, checks
from tasks.celery_app.base import Task
from tasks.celery_app.message import id_of_call
from tasks.counting import done_by
from tasks.support.output import place

DIGITS = 10
SQUARES_MAX = 1_000_000


def _check(histogram: Array, start: int, stop: int) -> None:
    checks.instance("histogram", histogram, Array)
    if histogram is not checks.LATER and len(histogram) != DIGITS:
        raise ValueError(f"histogram must be an interlock.Array of {DIGITS} elements, not of {len(histogram)}")
    checks.whole_number("start", start, 0, SQUARES_MAX)
    checks.whole_number("stop", stop, 0 if start is checks.LATER else start, SQUARES_MAX)


def count_exactly(histogram: Array, start: int, stop: int, id: str | None) -> None:
    """Count the last digit of each square once, though the task may run again, or twice at once, under one id.

    A value under the same lock says how many squares are counted, as in `tasks.counting.update_exactly`.
    """
    lock = histogram.get_lock()
    done = done_by(id, lock)
    while True:
        with lock:
            number = start + done.value
            if number >= stop:
                return
            histogram[number * number % DIGITS] += 1
            done.value += 1


@app.task(bind=True, queue="cpu", check=_check)
def count_last_digits(self: Task, histogram: Array, start: int, stop: int) -> dict[str, Any]:
    """Count how often each digit is the last of a square, from `start` up to `stop`.

    Each square counts once, however often the task is delivered. Returns where the task ran.
    """
    count_exactly(histogram, start, stop, id_of_call(self, histogram.name, start, stop))
    return place()
