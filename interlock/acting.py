"""Runs a task's body under its id and name, for task queues, and releases what the task forgot when it ends."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from interlock._session.process import flush, release_owned
from interlock.caller import Caller, current
from interlock.errors import raise_first

log = logging.getLogger("interlock")


@contextmanager
def acting_for(id: str, name: str) -> Iterator[None]:
    """Run a task's body under its id and name.

    When the body ends, this releases the locks that it still holds, each with a `ResourceWarning` that names the lock
    and the task. It leaves permits of a semaphore alone: as in `threading`, another thread or task may be meant to
    release them. It also commits what the task wrote under locks that linger, before it returns: a task that is seen to
    have succeeded has committed.

    Raises:
        LeaseLostError: the lease of such a lock had run out, or that of a lock under which the task wrote. What the
            task wrote under that lock is discarded.
        GoneError, UnreachableError: Interlock could not commit what the task wrote.
    """
    acting = Caller(id, name)
    mark = current.set(acting)
    try:
        try:
            yield
        except BaseException:
            for error in _ended():
                log.warning("and at the end of task %s: %s", acting.label, error)
            raise
        raise_first(_ended())
    finally:
        current.reset(mark)


def _ended() -> list[Exception]:
    """Release the locks of the task and commit what it wrote. Return what went wrong."""
    errors = release_owned()
    try:
        flush()
    except Exception as error:  # the caller raises it
        errors.append(error)
    return errors
