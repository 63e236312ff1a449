"""The task of a thread or a process, on the project's app: `celery -A workers worker --include interlock_app`."""

import body

from tasks import app

work = app.task(name="work", queue="io", ignore_result=not body.KEPT)(body.work)
send = work.delay
