"""kombu's Redis transport, with workers that outlive an outage of Redis without running a task twice.

With kombu 5.7.0 a worker whose connection breaks gives its running tasks back to their queue as soon as it can, and so
they run twice; or it ends with an AttributeError, when another connection breaks before the one on which it waits for
tasks (a channel whose closing failed is closed again when its address is forgotten). And what was running cannot be
acknowledged any more: its channel is closed.

Here a channel that has lost its connection gives nothing back, and acknowledges over a new one: in Redis any connection
may. What a worker had that vanishes comes back as ever.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import kombu.transport
from kombu.transport import redis

from tasks.app import app


def install() -> None:
    """Use this transport for `redis://` and `rediss://`."""
    for scheme in ("redis", "rediss"):
        kombu.transport.TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"


class Channel(redis.Channel):  # type: ignore[misc]
    """A channel whose messages can be acknowledged after it has lost its connection."""

    _kept: tuple[Any, Any] | None = None  # a pool of connections, and the client over it

    def _create_client(self, asynchronous: bool = False) -> Any:
        """As kombu's, which makes a client for each command; that takes longer than the command."""
        if asynchronous:
            return super()._create_client(asynchronous)
        pool = self.pool
        if self._kept is None or self._kept[0] is not pool:
            self._kept = pool, super()._create_client()
        return self._kept[1]

    def _brpop_read(self, **options: Any) -> Any:
        with self._loss_noted():
            return super()._brpop_read(**options)

    def _receive_one(self, client: Any) -> Any:
        with self._loss_noted():
            return super()._receive_one(client)

    def _poll_error(self, type: str, **options: Any) -> Any:
        with self._loss_noted():
            return super()._poll_error(type, **options)

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        """Acknowledge a message, over a new connection if this channel's was lost."""
        if self.closed:
            with app.connection_for_write() as connection:
                connection.default_channel.qos.ack(delivery_tag)
        else:
            super().basic_ack(delivery_tag, multiple=multiple)

    @contextmanager
    def _loss_noted(self) -> Iterator[None]:
        try:
            yield
        except self.connection_errors:
            self.do_restore = False  # its tasks go on running
            raise


class Transport(redis.Transport):  # type: ignore[misc]
    """Redis, with such channels."""

    Channel = Channel
