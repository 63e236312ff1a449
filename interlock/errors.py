"""All errors of this package. Each one is also an error that users of the standard library's twin catch."""

from collections.abc import Sequence

import redis


class InterlockError(Exception):
    """The base class of the errors of this package, except `WaitEndedError`."""


class NotHeldError(InterlockError, RuntimeError, ValueError):
    """The caller released something that it does not hold.

    This is a `RuntimeError` as in `threading`, and a `ValueError` as in `multiprocessing`.
    """


class LeaseLostError(InterlockError, RuntimeError):
    """The lease ran out, or somebody broke the lock, while the caller thought that it held the lock.

    Interlock has discarded, whole, what was written under the lock and not yet committed.
    """


class NameTakenError(InterlockError, ValueError):
    """The name already stands for something else: another kind, another number of permits, another type code."""


class GoneError(InterlockError, LookupError):
    """The thing that the object names exists no longer: a process unlinked it, or its `ttl` ran out."""


class ReentryError(InterlockError, RuntimeError):
    """A signal handler or a finalizer made a call that would wait for the very thread that it interrupts.

    In such a handler or finalizer, `acquire(False)` returns False. Another thread makes a call without a result, like
    `release()` or `Event.set()`, a moment later.
    """


class UnreachableError(InterlockError, redis.ConnectionError):
    """No Redis answers, or Redis refuses for now: its memory is full, it loads its file, its replicas are away."""


class RefusedError(InterlockError, redis.ResponseError):
    """Redis refuses, and would refuse again: its user lacks a right, or a key of that name is not Interlock's."""


class WaitEndedError(BaseException):
    """Another thread ended what the calling thread waited for: see `endable`. No `except Exception` catches this."""


def raise_first(errors: Sequence[BaseException]) -> None:
    """Raise the first of these errors, if there is any; its notes say what the others say."""
    if errors:
        for each in errors[1:]:
            errors[0].add_note(f"and {type(each).__name__}: {each}")
        raise errors[0]
