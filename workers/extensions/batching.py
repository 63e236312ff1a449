"""Batches of events: a worker publishes ten times a second, for a message for each event takes a fifth of its time."""

from typing import Any

from celery import bootsteps

SEND_EVERY = 0.1  # seconds: Flower's pages reload less often
EVENTS_MAX = 500  # events in one message


class BatchedEvents(bootsteps.StartStopStep):  # type: ignore[misc]
    """Collects a worker's events for a moment. Celery publishes them each time that its loop turns."""

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self.consumer, self.due = consumer, False
        if consumer.hub:
            consumer.on_send_event_buffered = self.later

    def start(self, consumer: Any) -> None:
        """Begin anew, after each connection to Redis."""
        self.due = False
        if consumer.event_dispatcher:
            consumer.event_dispatcher.buffer_limit = EVENTS_MAX

    def later(self) -> None:
        """Send the collected events soon. Any thread may call this."""
        if not self.due:
            self.due = True
            self.consumer.hub.call_soon(self._plan)

    def _plan(self) -> None:
        if self.consumer.blueprint.state == bootsteps.RUN:
            self.consumer.hub.call_later(SEND_EVERY, self._send)
        else:  # the worker stops, and no timer fires any more
            self._send()

    def _send(self) -> None:
        self.due = False
        self.consumer._flush_events()
