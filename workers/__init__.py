"""What executes tasks, in three folders; the modules beside them are where commands begin.

`extensions/` is what we add to Celery's worker, `coroutines/` a pool for tasks written as `async def`, and
`local_stack/` runs Redis, workers and Flower on this machine.

A worker:  celery -A workers worker -Q cpu --pool prefork
For coroutines:  CELERY_CUSTOM_WORKER_POOL=workers.coroutines:TaskPool celery -A workers worker -Q aio --pool custom
"""
