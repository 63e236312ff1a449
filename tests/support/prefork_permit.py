"""A task for a test: it takes a permit and ends without giving it back."""

from tasks import app


@app.task(name="prefork_permit.keep")
def keep(slots):
    """Take a permit, for longer than this task."""
    return slots.acquire()
