"""Prometheus's metrics of queues and locks, on Flower's page of metrics."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from interlock import in_use
from interlock.in_use import Names
from tasks.celery_app import app
from tasks.transport.counts import Counts, counts
from tasks.transport.scripts import Keys
from workers.flower.dead_letters import client

PATTERNS_MAX = 50  # different values of the label `name`: Prometheus keeps a series for each for ever
OTHERS = "others"
# What differs between names that a program makes: numbers, and the digits of a UUID or of a digest.
VARIABLE_PART = re.compile(
    r"[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|(?<![a-zA-Z])(?=[a-fA-F]*[0-9])[0-9a-fA-F]{6,}(?![a-zA-Z])|[0-9]+"
)


def pattern(name: str) -> str:
    """Return a name with `*` in place of what differs between names that a program makes."""
    return VARIABLE_PART.sub("*", name)[:100]


@dataclass(frozen=True)
class Reading:
    """What Redis had at one moment."""

    queues: dict[str, Counts]
    locks: Names


class Collector:
    """Has what the page of metrics read last, for prometheus_client to collect."""

    def __init__(self) -> None:
        self._reading: Reading | None = None

    def read(self) -> Reading:
        """Ask Redis. Blocks."""
        steps = app.conf.broker_transport_options.get("priority_steps", (0, 3, 6, 9))
        names = [queue.name for queue in app.conf.task_queues]
        return Reading(counts(client(), Keys.of(app), names, steps), in_use.look_at_all())

    def take(self, reading: Reading | None) -> None:
        """Collect this from here on; None: Redis does not answer."""
        self._reading = reading

    def collect(self) -> Iterator[Metric]:
        """Return the metrics. prometheus_client calls this."""
        reading = self._reading
        yield GaugeMetricFamily(
            "interlock_redis_up", "Whether Redis answered Flower: without it there are no other metrics of interlock.",
            float(reading is not None),
        )  # fmt: skip
        if reading is not None:
            yield from _of_queues(reading.queues)
            yield from _of_locks(reading.locks)


def _of_queues(queues: dict[str, Counts]) -> Iterator[Metric]:
    messages = GaugeMetricFamily(
        "interlock_queue_messages", "Messages of a queue: queued (all priorities), delayed, running or dead.",
        labels=("queue", "state"),
    )  # fmt: skip
    oldest = GaugeMetricFamily(
        "interlock_queue_oldest_message_age_seconds", "How long the oldest queued message has waited; 0: none does.",
        labels=("queue",),
    )  # fmt: skip
    for name, found in sorted(queues.items()):
        for state in ("queued", "delayed", "running", "dead"):
            messages.add_metric((name, state), getattr(found, state))
        if found.oldest is not None:
            oldest.add_metric((name,), found.oldest)
    yield messages
    yield oldest


def _of_locks(locks: Names) -> Iterator[Metric]:
    holders, waiters = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for each in locks.in_use:
        label = each.kind, pattern(each.name)
        holders[label] += each.holding
        waiters[label] += each.waiting
    kept = {label for label, _ in (holders + waiters).most_common(PATTERNS_MAX)}
    for name, help, numbers in (
        ("interlock_holders", "Holders of locks and semaphores, by the pattern of the name.", holders),
        ("interlock_waiters", "Waiters for locks and other primitives, by the pattern of the name.", waiters),
    ):
        metric = GaugeMetricFamily(name, help, labels=("kind", "name"))
        shown = Counter[tuple[str, str]]()
        for label, number in numbers.items():
            shown[label if label in kept else (OTHERS, OTHERS)] += number
        for label, number in sorted(shown.items()):
            metric.add_metric(label, number)
        yield metric


collector = Collector()
REGISTRY.register(collector)
