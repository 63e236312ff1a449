"""The one clock that tasks on several machines share: that of Redis."""

from tasks.celery_app import app
from tasks.celery_app.outage import patiently


def server_time() -> float:
    """Return the seconds since 1970 by the clock of Redis. One round trip."""
    seconds, microseconds = patiently(app.backend.client.time)
    return float(seconds) + float(microseconds) / 1e6


def most_at_once(intervals: list[tuple[float, float]]) -> int:
    """Return the largest number of intervals (began, ended) that share a moment."""
    edges = sorted([(began, 1) for began, _ in intervals] + [(ended, -1) for _, ended in intervals])
    most = now = 0
    for _, step in edges:  # at one moment, ends come before beginnings
        now += step
        most = max(most, now)
    return most
