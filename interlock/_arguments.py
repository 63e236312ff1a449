"""Checks of what callers pass: names, leases, times. An error says what is wrong and what is allowed."""

import math
import threading
import uuid

NAME_BYTES_MAX = 512
LEASE_MAX = 86_400.0  # seconds: a day, after which idle keys expire
LEASE_MIN = 0.1  # seconds: three round trips over a slow network; claims and renewals need them
LINGER_MAX = 10.0  # seconds that others wait for what nobody needs
DAY = 86_400.0  # seconds: how long an unnamed object outlives its last use


def checked_name(name: str | None) -> str:
    """The name itself, or a fresh unique one for None."""
    if name is None:
        return uuid.uuid4().hex
    if not isinstance(name, str):
        raise TypeError(f"name must be a str or None, not {type(name).__name__}")
    size = len(name.encode())
    if not 1 <= size <= NAME_BYTES_MAX or "{" in name or "}" in name:
        raise ValueError(f"name must have 1 to {NAME_BYTES_MAX} bytes and no braces, not {name[:60]!r} of {size} bytes")
    return name


def checked_prefix(prefix: str) -> str:
    """A prefix for keys; braces would spoil Redis Cluster's hash tags."""
    if "{" in prefix or "}" in prefix or any(c.isspace() for c in prefix):
        raise ValueError(f"INTERLOCK_PREFIX must hold no braces and no white space, not {prefix!r}")
    return prefix


def checked_seconds(what: str, value: float, low: float, high: float) -> float:
    """A finite number of seconds within [low, high]."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{what} must be a number of seconds, not {type(value).__name__}")
    if not math.isfinite(value) or not low <= value <= high:
        raise ValueError(f"{what} must be {low:g} to {high:g} seconds, not {value}")
    return float(value)


def checked_lease(lease: float) -> float:
    """How long Redis keeps what a silent holder has, in seconds."""
    return checked_seconds("lease", lease, LEASE_MIN, LEASE_MAX)


def checked_linger(linger: float | None) -> float | None:
    """How long a released lock is kept at least while it is used, in seconds; None: as the network says."""
    return None if linger is None else checked_seconds("linger", linger, 0.0, LINGER_MAX)


def checked_ttl(ttl: float | None, *, named: bool) -> float | None:
    """How long a value outlives its last use, in seconds; None: for ever if it has a name, else a day."""
    if ttl is None:
        return None if named else DAY
    return checked_seconds("ttl", ttl, 1.0, 366 * DAY)


def checked_wait(blocking: bool, timeout: float | None, *, forever: float | None) -> float | None:
    """Seconds to wait, None for ever, 0 for not at all. `forever` is the default that stands for no limit."""
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
    if math.isnan(timeout) or (timeout < 0 and forever is not None):
        raise ValueError("timeout value must be a non-negative number of seconds, or the default to wait for ever")
    if timeout > threading.TIMEOUT_MAX:
        raise OverflowError(f"timeout value is too large: at most {threading.TIMEOUT_MAX:.0f} seconds")
    return max(0.0, float(timeout))
