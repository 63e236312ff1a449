"""Tasks that run past their hard limit, although the pool should have ended them."""

import time
from collections.abc import Collection
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

from celery.worker import state

GRACE = 10.0  # seconds past its hard limit until a task counts as overdue: the pool needs some to end it


class Overdue:
    """Looks again and again which tasks run, so as to know for how long. One thread at a time may use it."""

    def __init__(self) -> None:
        self._since: WeakKeyDictionary[Any, float] = WeakKeyDictionary()  # requests: when each was first seen to run

    def requests(self, usual_limit: float | None) -> list[Any]:
        """Return the requests of the tasks that are overdue.

        Args:
            usual_limit: seconds, for tasks without a hard limit of their own; None: these may run for ever.
        """
        return [each for each in all_of(state.active_requests) if self._is_overdue(each, usual_limit)]

    def _is_overdue(self, request: Any, usual_limit: float | None) -> bool:
        limit = (request.time_limits or (None,))[0] or usual_limit
        since = self._since.setdefault(request, time.monotonic())
        return bool(limit and time.monotonic() - since > limit + GRACE)


def all_of(requests: Collection[Any]) -> tuple[Any, ...]:
    """Return a set's members, although another thread changes it meanwhile."""
    while True:
        with suppress(RuntimeError):
            return tuple(requests)
