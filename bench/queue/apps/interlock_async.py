"""The task of a coroutine, on the project's app: `celery -A workers worker --include interlock_async`."""

import body

from tasks import app

work = app.task(name="work", queue="aio", ignore_result=not body.KEPT)(body.work_async)
send = work.delay
