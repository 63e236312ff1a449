"""The Celery app: everything that enqueues or runs our tasks imports this one."""

from typing import Any

from celery import Celery

import interlock
from tasks import canvas, environment, forks
from tasks.schedule import refuse_too_far
from tasks.settings import settings

interlock.register_with_kombu()  # locks and values travel as arguments
canvas.install()


class App(Celery):  # type: ignore[misc]
    """Celery's app, which sends no message that would be delivered twice."""

    def send_task(self, name: str, *args: Any, **options: Any) -> Any:
        """As Celery's: all ways to enqueue a task lead here.

        Raises:
            TypeError: a countdown that is no number, an eta that is no time.
            ValueError: either lies further ahead than the longest run of a task, INTERLOCK_TASK_SECONDS_MAX; or the id
                is no text that Redis could keep.
        """
        given = {**dict(zip(("args", "kwargs", "countdown", "eta", "task_id"), args, strict=False)), **options}
        refuse_too_far(given, self.conf.task_time_limit)  # the visibility timeout is twice that
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


app = App("interlock", task_cls="tasks.base:Task")
app.config_from_object(settings(environment.read()))
app.set_default()
forks.part_at_fork(app)
