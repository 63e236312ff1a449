"""The button that enqueues a task again: the same arguments, a new id, and the old task as its parent."""

import logging
from typing import Any

from celery import states
from tornado.web import authenticated

from tasks.celery_app import app
from workers.flower.pages import Data, NotPossibleError

log = logging.getLogger(__name__)


def enqueue_again(id: str, root: str | None = None) -> str:
    """Enqueue a task that has ended again, with the arguments that were stored with its result. Return the new id.

    Args:
        id: of the task that has ended.
        root: the id of the task with which its chain of calls began; None: itself.

    Raises:
        NotPossibleError: it has not ended, or its arguments are not in Redis any more.
        kombu.exceptions.OperationalError: Redis does not answer.
    """
    stored = app.backend.get(app.backend.get_key_for_task(id))
    # Not AsyncResult, which makes an exception of a failure's result, by the class that the result names.
    known: dict[str, Any] = app.backend.decode(stored) if stored else {}
    if known and known["status"] not in states.READY_STATES:
        raise NotPossibleError(f"the task has not ended, it is {known['status']}: retry it when it has")
    args, kwargs, name = known.get("args"), known.get("kwargs"), known.get("name")
    if not name or args is None or kwargs is None:
        raise NotPossibleError(
            f"the arguments are not in Redis: they are stored with a result, for {app.conf.result_expires} seconds, "
            "unless the task ignores its result or the result was forgotten. Enqueue the task anew where it came from"
        )
    options: dict[str, Any] = {"parent_id": id, "root_id": root or id}
    if known.get("queue") in app.amqp.queues:
        options["queue"] = known["queue"]
    try:
        if name in app.tasks:
            return str(app.tasks[name].apply_async(args, kwargs, **options).id)
        return str(app.send_task(name, args, kwargs, **options).id)
    except (TypeError, ValueError) as error:  # its check refuses them by now
        raise NotPossibleError(f"the arguments are refused now: {error}") from error


class Retry(Data):
    """Retries one task."""

    @authenticated
    async def post(self, id: str) -> None:
        """Enqueue the task again, and write the new id and where its page is."""
        self.check_may_change()
        known = self.application.events.state.tasks.get(id)
        new = await self.blocking(enqueue_again, id, getattr(known, "root_id", None))
        log.warning("task %s was retried as %s by %s", id, new, self.request.remote_ip)
        self.write({"id": new, "url": self.reverse_url("task", new)})
