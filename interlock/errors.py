"""What can go wrong, in one place. Each error also is what users of the standard library's twin catch."""

import redis


class InterlockError(Exception):
    """The base of all errors of this package."""


class NotHeldError(InterlockError, RuntimeError, ValueError):
    """Released what the caller does not hold.

    A `RuntimeError` as in `threading`, and a `ValueError` as in `multiprocessing`.
    """


class LeaseLostError(InterlockError, RuntimeError):
    """The lease ran out, or somebody broke the lock, while the caller thought that it held it.

    What was written under the lock and not yet committed has been discarded, whole.
    """


class NameTakenError(InterlockError, ValueError):
    """The name already stands for something else: another kind, another count of permits, another type code."""


class GoneError(InterlockError, LookupError):
    """What the object names exists no longer: it was unlinked, or its `ttl` ran out."""


class ReentryError(InterlockError, RuntimeError):
    """A signal handler or a finalizer made a call that would wait for the very thread that it interrupts.

    `acquire(False)` says False there, and a call without a result, such as `release()` or `Event.set()`, is made a
    moment later by another thread.
    """


class UnreachableError(InterlockError, redis.ConnectionError):
    """No Redis answers, or it refuses for now: memory is full, it loads its file, its replicas are away."""


class RefusedError(InterlockError, redis.ResponseError):
    """Redis refuses, and would refuse again: its user lacks a right, or a key of that name is not ours."""


class WaitEndedError(BaseException):
    """What the calling thread waited for was ended from outside: see `endable`. No `except Exception` catches it."""
