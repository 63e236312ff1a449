"""Checks of what callers pass: names, leases, times. Each error says what is wrong and what is allowed."""

import math
import operator
import threading
import uuid
from typing import Any

from interlock._text import one_line, plain

NAME_BYTES_MAX = 512
LEASE_MAX = 86_400.0  # seconds: a day, after which idle keys expire
LEASE_MIN = 0.1  # seconds: three round trips over a slow network, which claims and renewals need
LINGER_MAX = 10.0  # seconds that other processes wait for a lock that no thread needs
DAY = 86_400.0  # seconds that an unnamed object outlives its last use


def checked_name(name: str | None) -> str:
    """Check a name and return it as a plain `str`, or return a fresh unique name for None.

    Two names are one if they have the same bytes in UTF-8. Two spellings that Unicode calls equivalent, such as a
    letter with its accent and the letter followed by the accent, are two names.

    Raises:
        TypeError: the name is no `str`.
        ValueError: UTF-8 cannot hold the name, or it has braces, or it has too few or too many bytes.
    """
    if name is None:
        return uuid.uuid4().hex
    if not isinstance(name, str):
        raise TypeError(f"name must be a str or None, not {type(name).__name__}")
    name = plain(name)
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise ValueError(
            f"name must be text that UTF-8 can hold, not {name[:60]!r}: of the name of a file, use "
            "os.fsencode(name).hex()"
        ) from None
    if not 1 <= size <= NAME_BYTES_MAX or "{" in name or "}" in name:
        raise ValueError(f"name must have 1 to {NAME_BYTES_MAX} bytes and no braces, not {name[:60]!r} of {size} bytes")
    return name


def checked_prefix(prefix: str) -> str:
    """Check a prefix for keys and return it. Braces would spoil the hash tags of a Redis Cluster."""
    if "{" in prefix or "}" in prefix or any(c.isspace() or "\ud800" <= c <= "\udfff" for c in prefix):
        raise ValueError(f"INTERLOCK_PREFIX must hold no braces and no white space, and be UTF-8, not {prefix!r}")
    return prefix


def checked_count(what: str, value: Any) -> int:
    """Check that a value is a whole number, and return it as a plain `int`.

    A member of an `IntEnum`, or an integer of numpy, stands for its number.
    """
    try:
        if not isinstance(value, bool):
            return operator.index(value)
    except TypeError:
        pass
    raise TypeError(f"{what} must be an int, not {type(value).__name__}")


def _number(value: float) -> float:
    """Return an int or a float as a plain one, whatever a subclass makes of it."""
    return int.__int__(value) if isinstance(value, int) else float.__float__(value)


def checked_seconds(what: str, value: float, low: float, high: float) -> float:
    """Check that a number of seconds is finite and within [low, high], and return it as a plain float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{what} must be a number of seconds, not {type(value).__name__}")
    value = _number(value)
    if not math.isfinite(value) or not low <= value <= high:
        raise ValueError(f"{what} must be {low:g} to {high:g} seconds, not {value}")
    return float(value)


def checked_lease(lease: float) -> float:
    """Check how long Redis keeps what a silent holder has, and return it, in seconds."""
    return checked_seconds("lease", lease, LEASE_MIN, LEASE_MAX)


def checked_linger(linger: float | None) -> float | None:
    """Check how long, at least, a process keeps a released lock that it uses.

    Return it in seconds; None: as the network says.
    """
    return None if linger is None else checked_seconds("linger", linger, 0.0, LINGER_MAX)


def foreign_lock(lock: object, allowed: str, why: str) -> TypeError:
    """Return the error about a lock of another making: it says what is allowed, and why no other lock will do."""
    return TypeError(f"lock must be {allowed}, not {one_line(repr(lock))}: {why}, and only these can")


def checked_ttl(ttl: float | None, *, named: bool) -> float | None:
    """Check how long a value outlives its last use.

    Return it in seconds; None: for ever if it has a name, else a day.
    """
    if ttl is None:
        return None if named else DAY
    return checked_seconds("ttl", ttl, 1.0, 366 * DAY)


def checked_wait(blocking: bool, timeout: float | None, *, forever: float | None) -> float | None:
    """Check how long a call may wait. Return it in seconds, None for ever, 0 for not at all.

    `forever` is the default of `timeout`, which means no limit.
    """
    if not blocking:
        if timeout != forever:
            raise ValueError("can't specify a timeout for a non-blocking call")
        return 0.0
    if timeout is None or timeout == forever:
        if timeout != forever:
            raise TypeError("timeout must be a number of seconds, not None; -1 waits for ever")
        return None
    if not isinstance(timeout, int | float):
        raise TypeError(f"timeout must be a number of seconds, not {type(timeout).__name__}")
    timeout = _number(timeout)
    if math.isnan(timeout) or (timeout < 0 and forever is not None):
        raise ValueError("timeout value must be a non-negative number of seconds, or the default to wait for ever")
    if timeout > threading.TIMEOUT_MAX:
        raise OverflowError(f"timeout value is too large: at most {threading.TIMEOUT_MAX:.0f} seconds")
    return max(0.0, float(timeout))
