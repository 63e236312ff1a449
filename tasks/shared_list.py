"""Shared state: a list in Redis that at most N tasks change at once. Queue `io`. The tutorial's semaphore program."""

import time
from typing import Any

from interlock import Semaphore, address
from interlock._text import plain
from tasks.celery_app import app, checks
from tasks.support.clock import server_time
from tasks.support.output import place, say

LIST_SECONDS = 3600  # how long a list outlives its last change


def _check(items: str, slots: Semaphore, pause: float) -> None:
    if items is not checks.LATER and not (isinstance(items, str) and 1 <= len(items) <= 100):
        raise ValueError(f"items must be the name of a list, 1 to 100 characters, not {items!r}")
    checks.instance("slots", slots, Semaphore)
    checks.pause_seconds(pause)


def _check_item(items: str, slots: Semaphore, item: Any, pause: float) -> None:
    _check(items, slots, pause)
    checks.whole_number("item", item, 0, 2**53)


def _key(items: str) -> str:
    return f"{address.prefix()}list:{plain(items)}"


def _inside(pause: float, began: float) -> dict[str, Any]:
    """Pause inside the section, so that stays can overlap, and return where and when the task was inside."""
    time.sleep(pause)
    return {**place(), "began": began, "ended": server_time()}


@app.task(queue="io", check=_check_item)
def add_item(items: str, slots: Semaphore, item: int, pause: float = 0.2) -> dict[str, Any]:
    """Append an item to the list while holding a slot. Returns where and when (Redis time) it was inside."""
    with slots:
        began = server_time()
        app.backend.client.rpush(_key(items), item)
        app.backend.client.expire(_key(items), LIST_SECONDS)
        say(f"Added item {item} to the shared resource.")
        return _inside(pause, began)


@app.task(queue="io", check=_check)
def remove_item(items: str, slots: Semaphore, pause: float = 0.2) -> dict[str, Any]:
    """Take the first item off the list while holding a slot. Returns where and when (Redis time) it was inside."""
    with slots:
        began = server_time()
        item = app.backend.client.lpop(_key(items))
        say("Shared resource is empty." if item is None else f"Removed item {int(item)} from the shared resource.")
        return _inside(pause, began)


@app.task(queue="io")
def read_list(stays: list[dict[str, Any]], items: str) -> dict[str, Any]:
    """Return what the list holds in the end, and the stays that a chord's tasks reported: that chord's body."""
    return {"items": [int(item) for item in app.backend.client.lrange(_key(items), 0, -1)], "stays": stays}
