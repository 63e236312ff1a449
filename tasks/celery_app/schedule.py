"""When a task may be due: a wrong time is refused in the producer, not in a worker."""

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

AHEAD_MAX = 315_360_000  # seconds, ten years: later times are mistakes, and Celery cannot write all of them
PARTS = ("chain", "link", "link_error", "chord", "tasks", "header", "body")  # where a signature holds other signatures


def refuse_wrong_times(options: Mapping[str, Any]) -> None:
    """Raise an error if a task, or one that follows it, has a wrong due time.

    Args:
        options: the task's `countdown` and `eta`, and the signatures that follow, under Celery's names for them.

    Raises:
        TypeError: a countdown is no number, or an eta is no time.
        ValueError: a countdown or an eta lies too far ahead.
    """
    _refuse(options.get("countdown"), options.get("eta"))
    for part in _parts(options):
        refuse_wrong_times({**part.get("kwargs", {}), **part.get("options", {})})


def _parts(options: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for name in PARTS:
        found = options.get(name)
        for part in [found] if isinstance(found, Mapping) else found if isinstance(found, list | tuple) else ():
            if isinstance(part, Mapping):
                yield part


def _refuse(countdown: Any, eta: Any) -> None:
    seconds = 0.0
    if countdown is not None:
        if isinstance(countdown, bool) or not isinstance(countdown, int | float) or math.isnan(countdown):
            raise TypeError(f"countdown must be a number of seconds, at most {AHEAD_MAX:,}, not {countdown!r}")
        seconds = countdown
    if eta and not countdown:  # for Celery, a countdown of 0 is none
        seconds = (moment(eta) - datetime.now(UTC)).total_seconds()
    if seconds > AHEAD_MAX:
        raise ValueError(
            f"countdown and eta must lie at most {AHEAD_MAX:,} seconds ahead, which is ten years, not {seconds:,.0f}: "
            "enqueue it later"
        )


def moment(eta: Any) -> datetime:
    """Return the time that an eta names. Without a time zone it is UTC, by the app's setting `timezone`."""
    try:
        named = datetime.fromisoformat(eta) if isinstance(eta, str) else eta
        return named.astimezone(UTC) if named.tzinfo else named.replace(tzinfo=UTC)
    except (AttributeError, TypeError, ValueError):
        raise TypeError(f"eta must be a datetime or its ISO 8601 text, not {eta!r}") from None
