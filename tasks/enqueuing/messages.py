"""The messages of a batch: those that Celery makes, with what is the same for all of them worked out once."""

import uuid
from collections.abc import Mapping
from typing import Any

from celery import signals
from celery.utils.nodenames import anon_nodename
from kombu import Queue, compression, serialization

from tasks.celery_app.base import Task
from tasks.celery_app.description import description
from tasks.celery_app.schedule import refuse_wrong_times
from tasks.enqueuing.jobs import Job
from tasks.transport.bulk import Sendable, sendable

OPTIONS = (
    "countdown", "eta", "expires", "headers", "ignore_result", "link", "link_error", "priority", "queue", "shadow",
    "soft_time_limit", "time_limit",
)  # fmt: skip
"""The options of `apply_async` that a batch may have."""


class Messages:
    """Makes the messages of one task, for one batch.

    Args:
        task: the task.
        group: the batch's group.
        options: some of OPTIONS; None counts as not given.

    Raises:
        TypeError: an option is none of OPTIONS, or a due time is none.
        ValueError: a due time lies too far ahead.
        celery.exceptions.QueueNotFound: there is no such queue.
    """

    def __init__(self, task: Task, group: str, options: Mapping[str, Any]) -> None:
        unknown = sorted(options.keys() - set(OPTIONS))
        if unknown:
            raise TypeError(f"enqueue_many takes no option {unknown[0]!r}: the options are {', '.join(OPTIONS)}")
        refuse_wrong_times(options)
        self._task, self._group = task, group
        app = task.app
        given = {name: value for name, value in options.items() if value is not None}
        merged = {**(task._get_exec_options() or {}), **given}
        merged.setdefault("ignore_result", task.ignore_result)
        routed = app.amqp.router.route({key: each for key, each in merged.items() if each is not None}, task.name)
        queue = routed.get("queue") or app.amqp.default_queue
        self.queue: Queue = app.amqp.queues[queue] if isinstance(queue, str) else queue
        self.results_ignored = bool(routed.get("ignore_result"))
        self._options, self._origin = routed, anon_nodename()
        parent = app.current_worker_task
        self._root = (parent.request.root_id or parent.request.id) if parent else None
        self._parent = parent.request.id if parent else None

    def made(self, channel: Any, job: Job) -> Sendable:
        """Return the message of a job as it will lie in the queue. Raises EncodeError if an argument cannot be sent."""
        task, app, options = self._task, self._task.app, self._options
        message = app.amqp.create_task_message(
            job.id, task.name, job.args, job.kwargs,
            countdown=options.get("countdown"), eta=options.get("eta"), expires=options.get("expires"),
            group_id=self._group, callbacks=_listed(options.get("link")), errbacks=_listed(options.get("link_error")),
            reply_to=app.thread_oid, root_id=self._root, parent_id=self._parent, shadow=options.get("shadow"),
            time_limit=options.get("time_limit"), soft_time_limit=options.get("soft_time_limit"),
            ignore_result=self.results_ignored,
            argsrepr=description(job.call), kwargsrepr="{}", origin=self._origin,
        )  # fmt: skip
        headers, properties, body, _ = message
        headers.update(options.get("headers") or {})
        properties["delivery_mode"] = 2  # as Celery has it: kept on disk, if the server keeps anything
        if signals.before_task_publish.receivers:
            self._tell(signals.before_task_publish, body, headers, properties=properties, declare=[self.queue])
        kind, encoding, data = serialization.dumps(body, options.get("serializer") or app.conf.task_serializer)
        if options.get("compression"):
            data, headers["compression"] = compression.compress(data, options["compression"])
        prepared = channel.prepare_message(data, options.get("priority"), kind, encoding, headers, properties)
        return sendable(channel, job.id, self.queue.name, prepared)

    def tell_of(self, job: Job) -> None:
        """Send Celery's signal `after_task_publish`, if anybody listens."""
        if signals.after_task_publish.receivers:
            self._tell(signals.after_task_publish, (job.args, job.kwargs, {}), {"id": job.id, "task": self._task.name})

    def _tell(self, signal: Any, body: Any, headers: Any, **more: Any) -> None:
        signal.send(
            sender=self._task.name, body=body, headers=headers, exchange="", routing_key=self.queue.name, **more
        )


def _listed(callbacks: Any) -> Any:
    return [callbacks] if isinstance(callbacks, Mapping) else callbacks


def new_name() -> str:
    """Return a name that no other batch has."""
    return uuid.uuid4().hex
