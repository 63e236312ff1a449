"""Checks of arguments. Each error says in one line what is wrong and what is allowed."""

import math
from typing import Any

from interlock import RawValue, Value

TIMES_MAX = 10_000_000
PAUSE_MAX = 60.0  # seconds


class Later:
    """Stands for an argument that a chain, a link or `delay` adds to a signature later. Every check accepts it."""


LATER: Any = Later()


def whole_number(what: str, value: Any, low: int, high: int) -> None:
    """Raise unless the value is an int from low to high."""
    if value is LATER:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} must be a whole number from {low:,} to {high:,}, not {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{what} must be a whole number from {low:,} to {high:,}, not {value:,}")


def pause_seconds(pause: Any) -> None:
    """Raise unless the value is a pause that a task may make."""
    seconds("pause", pause)


def seconds(what: str, value: Any) -> None:
    """Raise unless the value is a time that a task may wait."""
    if value is LATER:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{what} must be 0 to {PAUSE_MAX:g} seconds, not {value!r}")
    if not (math.isfinite(value) and 0 <= value <= PAUSE_MAX):
        raise ValueError(f"{what} must be 0 to {PAUSE_MAX:g} seconds, not {value}")


def amount(what: str, value: Any, high: float) -> None:
    """Raise unless the value is a number from 0 to `high`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{what} must be a number from 0 to {high:,}, not {value!r:.60}")
    if not 0 <= value <= high:  # NaN is in no range
        raise ValueError(f"{what} must be a number from 0 to {high:,}, not {value:,}")


def instance(what: str, value: Any, wanted: type) -> None:
    """Raise unless the value is an object of that class."""
    if value is not LATER and not isinstance(value, wanted):
        hint = " (made with lock=False?)" if wanted is Value and isinstance(value, RawValue) else ""
        raise TypeError(f"{what} must be an interlock.{wanted.__name__}, not {value!r}{hint}")
