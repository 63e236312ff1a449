"""Work that mostly waits: queue `io`, worker threads. The tutorial's `threading` program."""

import time
from typing import Any

from tasks.celery_app import app, checks
from tasks.support.output import place, say


@app.task(queue="io", check=checks.pause_seconds)
def print_numbers(pause: float = 1.0) -> int:
    """Print the numbers 1 to 5, with a pause in seconds after each. Returns how many."""
    for i in range(1, 6):
        say(f"Number: {i}")
        time.sleep(pause)
    return 5


@app.task(queue="io", check=checks.pause_seconds)
def print_letters(pause: float = 1.0) -> int:
    """Print the letters A to E, with a pause in seconds after each. Returns how many."""
    for letter in "ABCDE":
        say(f"Letter: {letter}")
        time.sleep(pause)
    return 5


@app.task(queue="io", check=checks.pause_seconds)
def sleep(pause: float = 1.0) -> dict[str, Any]:
    """Do nothing for a pause in seconds, as while a network or a disk is slow. Returns where the task ran."""
    time.sleep(pause)
    return place()
