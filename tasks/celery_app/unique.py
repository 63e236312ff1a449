"""Unique tasks: `task.apply_async(args, unique="report-7")` enqueues nothing while such a task is queued or runs.

A key in Redis holds the id of the task that was enqueued. The script that puts the message sets it, so that both happen
or neither. The message names the key in a header, and the key is removed when the result is stored, or when the message
becomes a dead letter.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from kombu.utils.encoding import bytes_to_str

HEADER = "unique"  # of a message: its key in Redis
KEY_MARK = "celery-taskset-meta-unique:"  # in each key; lua/shared.lua has the same, for a header may say anything
KEY_MAX = 200  # characters
NAME_KEPT = 86_400.0  # seconds after a task is due: then its name is free, also if its message was purged, or waits


@dataclass
class Claim:
    """The wish to enqueue one unique task."""

    key: str
    """The key in Redis."""
    holder: str | None = None
    """The id of the task that holds the key, and was enqueued before; None: ours was enqueued."""


_current: ContextVar[Claim | None] = ContextVar("tasks.claim", default=None)


@contextmanager
def claiming(claim: Claim | None) -> Iterator[None]:
    """Have the message with the claim's key, which is sent inside, put only if the key is free."""
    mark = _current.set(claim)
    try:
        yield
    finally:
        _current.reset(mark)


def claim_of(headers: Mapping[str, Any]) -> Claim | None:
    """Return the claim that a message with these headers is sent for; None: it is sent in any case, as a retry is."""
    claim = _current.get()
    return claim if claim is not None and headers.get(HEADER) == claim.key else None


def key_of(backend: Any, task: str, unique: Any) -> str:
    """Return the key in Redis. Raises TypeError or ValueError if `unique` is none."""
    if not isinstance(unique, str):
        raise TypeError(f"unique must be a text, not {unique!r:.60}")
    try:
        right = len(unique.encode()) > 0 and len(unique) <= KEY_MAX
    except UnicodeEncodeError:
        right = False
    if not right:
        raise ValueError(f"unique must be 1 to {KEY_MAX} characters that UTF-8 can hold, not {unique!r:.60}")
    return str(bytes_to_str(backend.get_key_for_group(f"unique:{task}:{unique}")))


def key_in(request: Any) -> str | None:
    """Return the key that the end of a task frees, or None if the task is not unique."""
    key = getattr(request, HEADER, None)
    return key if isinstance(key, str) and KEY_MARK in key else None
