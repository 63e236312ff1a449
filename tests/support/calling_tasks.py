"""Tasks that call other tasks as functions, and tasks that end their process."""

import os
import signal

from awkward_tasks import note

import interlock
from tasks import app, counting, increment_value, say

PREFIX = "tests.calling."


def die_once(mark):
    """Kill the process that runs the task, the first time that anybody passes this mark."""
    if mark and app.backend.client.set(mark, 1, nx=True, ex=600):
        os.kill(os.getpid(), signal.SIGKILL)


@app.task(name=PREFIX + "vanishes", default_retry_delay=86_400)
def vanishes():
    """End its process, each time."""
    note("begun", "vanishes")
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(name=PREFIX + "counts")
def counts(shared, mark):
    """Count five, then two times three: the first time without getting to the end."""
    increment_value(shared, 5)
    increment_value(shared, 3)
    die_once(mark)
    increment_value(shared, 3)


@app.task(name=PREFIX + "counts_and_dies")
def counts_and_dies(shared, times, mark):
    """Count, and end the process if nobody has for this mark."""
    increment_value(shared, times)
    die_once(mark)


@app.task(name=PREFIX + "counts_anew_and_dies")
def counts_anew_and_dies(shared, times, mark):
    """The broken twin: each call has a record of its own, whatever message it is made for."""
    counting.update_exactly(shared, shared.get_lock(), 1, times, None)
    die_once(mark)


@app.task(bind=True, name=PREFIX + "again")
def again(self, lock, inner):
    """Call itself while it holds a lock. Whether it still holds it afterwards, and who it is, within and without."""
    with lock:
        ids = [self.request.id] if inner is None else [self.request.id, *again(inner, None)[1]]
        return lock.locked() and not lock.lost, ids


@app.task(name=PREFIX + "speaks")
def speaks(text):
    """Say it."""
    say(text)


@app.task(name=PREFIX + "echoes")
def echoes(text, fail=False):
    """Return it, or fail with it."""
    if fail:
        raise ValueError(text)
    return text


def fresh():
    """A counter under a lock that goes back soon after its holder was killed."""
    return interlock.Value("i", 0, lease=2.0, linger=0)
