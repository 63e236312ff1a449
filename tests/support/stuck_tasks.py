"""Tasks and a command that keep a worker from its work."""

import time

from celery.worker.control import control_command

from tasks import app

PREFIX = "tests.stuck."


@app.task(queue="io", name=PREFIX + "endless")
def endless(seconds):
    """Take so long, in a thread that nothing can end."""
    time.sleep(seconds)


@app.task(queue="aio", name=PREFIX + "blocking")
async def blocking(seconds):
    """Block the event loop for so long."""
    time.sleep(seconds)


@control_command(args=[("seconds", float)])
def stand_still(state, seconds):
    """Keep the worker's own loop for so long."""
    time.sleep(seconds)
