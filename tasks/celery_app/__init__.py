"""The Celery app and the machinery of its tasks. Producers and workers import this app.

A module of tasks imports `app` and `checks` from here, and seldom more: `base.Task` is the type of a bound task's
`self`, and `message.id_of_call` helps a task do something only once.
"""

from functools import cached_property
from typing import Any

import kombu.transport
from celery import Celery

import interlock
from tasks.celery_app import canvas, environment, forks
from tasks.celery_app.schedule import refuse_wrong_times
from tasks.celery_app.settings import settings

interlock.register_with_kombu()  # locks and values travel as arguments
canvas.install()
# By name, for a URL cannot name our transport: kombu takes a URL's scheme for an entry of this table.
kombu.transport.TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), "tasks.transport:Transport"))


class App(Celery):  # type: ignore[misc]
    """Celery's app, except that it refuses a wrong due time and a wrong id where a task is sent.

    Its results have `aget`, for coroutines.
    """

    @cached_property
    def AsyncResult(self) -> Any:  # noqa: N802  as Celery calls it
        """The class of results."""
        return self.subclass_with_self("tasks.celery_app.awaitable_results:AsyncResult")

    def send_task(self, name: str, *args: Any, **options: Any) -> Any:
        """Send a task, as Celery does: all ways to enqueue one lead here.

        Raises:
            TypeError: the countdown is no number, or the eta is no time.
            ValueError: either lies more than ten years ahead; or the id is no text that Redis can store.
        """
        given = {**dict(zip(("args", "kwargs", "countdown", "eta", "task_id"), args, strict=False)), **options}
        refuse_wrong_times(given)
        _refuse_half_characters(given.get("task_id"))
        return super().send_task(name, *args, **options)


def _refuse_half_characters(id: Any) -> None:
    try:
        str(id).encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"task_id must be text that UTF-8 can hold, not {id!r:.60}: of the name of a file, use "
            "os.fsencode(name).hex()"
        ) from None


def route_as_declared(name: str, *_: Any, **__: Any) -> dict[str, str] | None:
    """Return where a task goes that names its queue, `@app.task(queue="io")`; None: to the default queue.

    Celery calls this router for each task that it sends; for a map, with the name of the task that the map calls.
    """
    queue = getattr(app.tasks.get(name), "declared_queue", None)
    return {"queue": queue} if queue else None


app = App("interlock", task_cls="tasks.celery_app.base:Task")
app.config_from_object(settings(environment.read()))
app.set_default()
forks.part_at_fork(app)
