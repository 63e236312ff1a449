"""How many messages each queue has: waiting, delayed, running and dead, and how long the oldest has waited."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from tasks.celery_app.schedule import moment
from tasks.transport.scripts import Keys, run

DELAYED_READ_MAX = 5000  # delayed messages that are counted by their queue; there may be millions
UNKNOWN = "unknown"  # the queue of messages beyond those, and of what names no queue


@dataclass
class Counts:
    """The messages of one queue."""

    queued: int = 0  # of all priorities
    delayed: int = 0
    running: int = 0  # delivered to a worker, and not acknowledged
    dead: int = 0
    oldest: float | None = None  # seconds; 0.0: none waits; None: its producer did not note when


def counts(client: redis.Redis, keys: Keys, queues: Iterable[str], priorities: Sequence[int]) -> dict[str, Counts]:
    """Return the counts by the name of the queue, for these and for those of which messages are found.

    Costs two round trips. The server reads what is delivered, DELAYED_READ_MAX delayed messages and the dead letters,
    and sends one message for each queue and priority.

    Args:
        client: adds no prefix to keys.
        keys: the names of the transport's keys.
        queues: the names of the queues.
        priorities: the steps of priorities, for each of which a queue has a list.
    """
    found = {name: Counts(oldest=0.0) for name in queues}
    lists = [
        (name, f"{keys.prefix}{name}{f'{keys.separator}{priority}' if priority else ''}")
        for name in found
        for priority in priorities
    ]
    with client.pipeline(transaction=False) as many:
        many.time()
        for _, list_ in lists:
            many.llen(list_)
            many.lindex(list_, -1)
        (seconds, microseconds), *answers = many.execute()
    for (name, _), length, oldest in zip(lists, answers[::2], answers[1::2], strict=True):
        found[name].queued += length
        if oldest is not None:
            age = _age(oldest, seconds + microseconds / 1e6)
            known = found[name].oldest
            found[name].oldest = None if age is None or known is None else max(known, age)
    reply = run("count", client, [keys.deliveries, keys.delayed, keys.dead_letters], [DELAYED_READ_MAX])
    for state, numbers in zip(("running", "delayed", "dead"), map(_by_list, reply[:3]), strict=True):
        for list_, number in numbers.items():
            each = found.setdefault(keys.queue_of(list_) or UNKNOWN, Counts())
            setattr(each, state, getattr(each, state) + number)
    if reply[3]:
        found.setdefault(UNKNOWN, Counts()).delayed += reply[3]
    return found


def _by_list(flat: Sequence[Any]) -> Counter[str]:
    texts = [each.decode(errors="replace") if isinstance(each, bytes) else str(each) for each in flat[::2]]
    return Counter(dict(zip(texts, flat[1::2], strict=True)))


def _age(message: bytes, now: float) -> float | None:
    """Return for how many seconds a message has waited; None if it does not say when it was put on its queue."""
    try:
        payload = json.loads(message)
        put = float(payload["properties"]["timestamp"])
        due = payload["headers"].get("eta")
        return max(0.0, now - max(put, moment(due).timestamp() if due else 0.0))
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
