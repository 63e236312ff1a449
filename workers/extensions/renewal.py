"""What a worker tells the transport: its name, its results, how much room its pool has, and what it may renew.

A worker renews its messages while it works on them. It stops for a task that has run past its hard limit, and for all
of them when its own loop stands still: their messages then go back to their queues, and run elsewhere.
"""

import logging
from functools import partial
from typing import Any

from celery import bootsteps
from celery.worker import state
from celery.worker.consumer.tasks import Tasks

from tasks.celery_app.results import Backend
from workers.extensions.execution import Resizable
from workers.extensions.overdue import GRACE, Overdue, all_of

log = logging.getLogger(__name__)

TICK_EVERY = 1.0  # seconds


class Renewal(bootsteps.StartStopStep):  # type: ignore[misc]
    """Sets up the channel by which tasks come, after each connection to Redis."""

    requires = (Tasks,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self.stands_still = False
        self._overdue = Overdue()

    def start(self, consumer: Any) -> None:
        """Set up the channel."""
        channel = consumer.task_consumer.channel
        channel.consumer_name = consumer.hostname
        if consumer.app.conf.worker_disable_prefetch:
            channel.qos.more_room = partial(_room, consumer)
        deliveries = channel.deliveries
        backend = consumer.app.backend
        if isinstance(consumer.pool, Resizable) and isinstance(backend, Backend):  # its tasks share this process
            deliveries.states = backend.later(deliveries.wake)
        consumer.away_since = None
        deliveries.renewable = partial(self._renewable, consumer, deliveries.limits.timeout)
        deliveries.on_gone = partial(_tell_task, consumer.pool)
        consumer.tick()
        if consumer.hub:
            consumer.hub.call_repeatedly(TICK_EVERY, consumer.tick)

    def _renewable(self, consumer: Any, patience: float, tokens: set[str]) -> set[str]:
        """Return those of the deliveries that may be renewed. The thread of the deliveries calls this.

        While the worker has no connection, its loop does not turn, and its tasks go on.
        """
        stood_still, self.stands_still = self.stands_still, False
        if consumer.still_for() > max(patience, 2 * GRACE):
            self.stands_still = True
            if not stood_still:
                log.error("this worker's loop stands still: its %d messages go back to their queues", len(tokens))
            return set()
        overdue = self._overdue.requests(consumer.app.conf.task_time_limit)
        return tokens - {each.message.delivery_tag for each in overdue}


def _room(consumer: Any) -> int:
    """Return how many more tasks the pool can run at once, as Celery counts them."""
    limit = getattr(consumer.controller, "max_concurrency", None) or consumer.pool.num_processes
    return int(limit) - len(state.reserved_requests)


def _tell_task(pool: Any, token: str) -> None:
    """End a task whose message has gone back to its queue: a coroutine at once, a thread where it waits in a primitive.

    No process of the prefork pool is told, and no thread that does not wait: there, the task runs twice.
    """
    for request in {*all_of(state.reserved_requests), *all_of(state.active_requests)}:
        if request.message.delivery_tag == token:
            log.error("%s[%s] runs although its message has gone back to its queue", request.name, request.id)
            job = request._apply_result() if request._apply_result is not None else None
            if job is not None and isinstance(pool, Resizable):  # these pools can end a task, and report nothing
                job.terminate()
                state.task_ready(request)
