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
            ValueError: either lies further ahead than the longest run of a task, INTERLOCK_TASK_SECONDS_MAX.
        """
        given = dict(zip(("args", "kwargs", "countdown", "eta"), args, strict=False))
        refuse_too_far({**given, **options}, self.conf.task_time_limit)  # the visibility timeout is twice that
        return super().send_task(name, *args, **options)


app = App("interlock", task_cls="tasks.base:Task")
app.config_from_object(settings(environment.read()))
app.set_default()
forks.part_at_fork(app)
