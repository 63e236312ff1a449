"""Measure what a message costs: Interlock's workers beside stock Celery, dramatiq and taskiq, on the same server.

    .venv/bin/python -m bench.queue              five turns: tasks a second, enqueued messages a second
    .venv/bin/python -m bench.queue --quick      few tasks, once: does everything work?
    .venv/bin/python -m bench.queue --profile    where a message's time goes, on each of our pools
    .venv/bin/python -m bench.queue --save       also writes bench/results/queue.json

In each turn of each row a producer enqueues all messages on a fresh server; then a worker starts, runs them and ends.
Each task notes its own start and end in a file that the processes share, so that the note costs no command to Redis.
The other queues run in virtual environments of their own, from bench/requirements-*.txt.
"""
