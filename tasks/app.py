"""The Celery app: everything that enqueues or runs our tasks imports this one."""

from celery import Celery

import interlock
from tasks import environment, forks
from tasks.settings import settings

interlock.register_with_kombu()  # locks and values travel as arguments

app = Celery("interlock", task_cls="tasks.base:Task")
app.config_from_object(settings(environment.read()))
app.set_default()
forks.part_at_fork(app)
