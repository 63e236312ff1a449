"""What executes tasks: the worker's life cycle, its health, the local stack and the command line.

A worker:  celery -A workers worker -Q cpu --pool prefork
For coroutines:  CELERY_CUSTOM_WORKER_POOL=workers.coroutines:TaskPool celery -A workers worker -Q aio --pool custom
"""
