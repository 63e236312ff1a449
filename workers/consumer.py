"""Celery's consumer: what a worker does with its connection and with the messages that arrive."""

import logging
from functools import partial
from typing import Any

from celery.worker import consumer, state

from workers.owed import owe, settled

log = logging.getLogger(__name__)


class Consumer(consumer.Consumer):  # type: ignore[misc]
    """Takes messages. When its connection breaks, what runs goes on and is not given back."""

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Give back what has not begun: the rest goes on, and is acknowledged at its end.

        All channels of the connection are closed, whichever of its sockets broke, and each would give back all it has.
        """
        for channel in self.connection.transport.channels:
            channel.do_restore = False
        for request in {*state.reserved_requests, *state.scheduled_requests}:
            if request._apply_result is None and not request.acknowledged:  # no pool has it
                owe(partial(_give_back, request.message.delivery_tag))
        super().on_connection_error_after_connected(exc)

    def shutdown(self) -> None:
        """Close the connection; wait for what is owed to Redis."""
        super().shutdown()
        settled()


def _give_back(delivery_tag: str, channel: Any) -> None:
    channel.qos.restore_by_tag(delivery_tag)
