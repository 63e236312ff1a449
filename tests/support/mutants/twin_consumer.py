"""The broken twin of our consumer: as Celery's own, it gives running tasks back when a connection breaks."""

from workers.extensions.consumer import Consumer

del Consumer.on_connection_error_after_connected
