"""Tasks that wait for a signal, and for each other: an Event, and a Barrier. Queue `io`."""

import threading
import time
from typing import Any

from interlock import Barrier, Event
from tasks.celery_app import app, checks
from tasks.support.clock import server_time
from tasks.support.output import place, say
from tasks.support.patience import PATIENCE, waited_in_vain

ROUNDS_MAX = 1_000


def _check_event(go: Event) -> None:
    checks.instance("go", go, Event)


@app.task(queue="io", check=_check_event)
def await_event(go: Event) -> dict[str, Any]:
    """Wait until the event is set. Returns where the task ran, and when (Redis time) it began to wait and went on."""
    began = server_time()
    if not go.wait(timeout=2 * PATIENCE):  # the program that sets it may have waited for other tasks first
        raise TimeoutError(f"waited {2 * PATIENCE:g} s for the event {go.name!r}, and nobody set it")
    went_on = server_time()
    say("Went on.")
    return {**place(), "began": began, "went_on": went_on}


def _check_rounds(line: Barrier, rounds: int, pause: float) -> None:
    checks.instance("line", line, Barrier)
    checks.whole_number("rounds", rounds, 1, ROUNDS_MAX)
    checks.pause_seconds(pause)


@app.task(queue="io", check=_check_rounds)
def go_rounds(line: Barrier, rounds: int, pause: float = 0.0) -> dict[str, Any]:
    """Work for `pause` seconds a round, and wait for the other parties after each round.

    Returns where the task ran, and when (Redis time) each round began and its work ended.
    """
    took = []
    for number in range(1, rounds + 1):
        began = server_time()
        time.sleep(pause)
        say(f"Round {number} done.")
        took.append((began, server_time()))
        try:
            line.wait(timeout=PATIENCE)
        except threading.BrokenBarrierError:
            raise waited_in_vain(f"at most for all {line.parties} parties of a barrier", "io", "cpu") from None
    return {**place(), "rounds": took}
