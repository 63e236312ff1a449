"""How far ahead a task may be enqueued: Celery on Redis runs one twice that waits for too long."""

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

PARTS = ("chain", "link", "link_error", "chord", "tasks", "header", "body")  # where a signature keeps others


def refuse_too_far(options: Mapping[str, Any], limit: float) -> None:
    """Raise unless a task, and what is to follow it, is to begin soon enough.

    A message that a worker keeps until its time comes counts as lost after the visibility timeout, and a second worker
    gets it too. So waiting and running together must take less.

    Args:
        options: of the task: `countdown`, `eta`, and the signatures of what follows, under Celery's names for them.
        limit: seconds: the visibility timeout without the longest run of a task.

    Raises:
        TypeError: a countdown that is no number, an eta that is no time.
        ValueError: one that is too far ahead.
    """
    _refuse(options.get("countdown"), options.get("eta"), limit)
    for part in _parts(options):
        refuse_too_far({**part.get("kwargs", {}), **part.get("options", {})}, limit)


def _parts(options: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for name in PARTS:
        found = options.get(name)
        for part in [found] if isinstance(found, Mapping) else found if isinstance(found, list | tuple) else ():
            if isinstance(part, Mapping):
                yield part


def _refuse(countdown: Any, eta: Any, limit: float) -> None:
    seconds = 0.0
    if countdown is not None:
        if isinstance(countdown, bool) or not isinstance(countdown, int | float) or math.isnan(countdown):
            raise TypeError(f"countdown must be a number of seconds, at most {limit:,.0f}, not {countdown!r}")
        seconds = countdown
    if eta and not countdown:  # as Celery has it: a countdown of 0 is none
        seconds = (_moment(eta) - datetime.now(UTC)).total_seconds()
    if seconds > limit:
        raise ValueError(
            f"countdown and eta must lie at most {limit:,.0f} seconds ahead, not {seconds:,.0f}: a message that waits "
            "longer is taken for lost and its task runs twice; raise INTERLOCK_TASK_SECONDS_MAX, or enqueue it later"
        )


def _moment(eta: Any) -> datetime:
    """The time that an eta names; without a time zone it is UTC, as the app's setting `timezone` says."""
    try:
        moment = datetime.fromisoformat(eta) if isinstance(eta, str) else eta
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (AttributeError, TypeError, ValueError):
        raise TypeError(f"eta must be a datetime or its ISO 8601 text, not {eta!r}") from None
