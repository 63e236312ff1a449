"""How far ahead a task may be enqueued: Celery on Redis runs a task twice that waits for too long."""

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

PARTS = ("chain", "link", "link_error", "chord", "tasks", "header", "body")  # where a signature holds other signatures


def refuse_too_far(options: Mapping[str, Any], limit: float) -> None:
    """Raise an error if a task, or one that follows it, would begin too late.

    A worker keeps a message until the task's time comes. After the visibility timeout the message counts as lost, and a
    second worker gets it too. So the wait and the run together must take less than that.

    Args:
        options: the task's `countdown` and `eta`, and the signatures that follow, under Celery's names for them.
        limit: the visibility timeout minus the longest run of a task, in seconds.

    Raises:
        TypeError: a countdown is no number, or an eta is no time.
        ValueError: a countdown or an eta lies too far ahead.
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
    if eta and not countdown:  # for Celery, a countdown of 0 is none
        seconds = (_moment(eta) - datetime.now(UTC)).total_seconds()
    if seconds > limit:
        raise ValueError(
            f"countdown and eta must lie at most {limit:,.0f} seconds ahead, not {seconds:,.0f}: a message that waits "
            "longer is taken for lost and its task runs twice; raise INTERLOCK_TASK_SECONDS_MAX, or enqueue it later"
        )


def _moment(eta: Any) -> datetime:
    """Return the time that an eta names. Without a time zone it is UTC, by the app's setting `timezone`."""
    try:
        moment = datetime.fromisoformat(eta) if isinstance(eta, str) else eta
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (AttributeError, TypeError, ValueError):
        raise TypeError(f"eta must be a datetime or its ISO 8601 text, not {eta!r}") from None
