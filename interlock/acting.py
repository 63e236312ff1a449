"""The seam for task queues: a task's body runs under its id and name, and what it forgot is released when it ends."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from interlock._session.process import flush, release_owned
from interlock.caller import Caller, current

log = logging.getLogger("interlock")


@contextmanager
def acting_for(id: str, name: str) -> Iterator[None]:
    """Run a task's body under its id and name.

    Locks that the body holds when it ends are released, each with a `ResourceWarning` that names the lock and the task.
    Permits of a semaphore are left alone: as in `threading`, somebody else may be meant to release them. What the task
    wrote under locks that linger is committed before this ends: a task that is seen to have succeeded has committed.

    Raises:
        LeaseLostError: such a lock's lease had run out, or that of a lock under which it wrote: that is discarded.
        GoneError, UnreachableError: what it wrote could not be committed.
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
        for error in _ended():
            raise error
    finally:
        current.reset(mark)


def _ended() -> list[Exception]:
    """Release the locks of the task and commit what it wrote; return what went wrong."""
    errors = release_owned()
    try:
        flush()
    except Exception as error:  # raised by who called
        errors.append(error)
    return errors
