"""A worker of the pool for coroutines on the test server."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager

from paths import PYTHONPATH
from peers import wait_until
from workers_end import killed_at_the_end

from workers.local_stack.children import ROOT


@contextmanager
def coroutine_worker(tmp_path, concurrency=1000, **more):
    """A worker of queue `aio`, ready; killed at the end."""
    alive = tmp_path / f"aio-{time.monotonic_ns()}.alive"
    log = alive.with_suffix(".log")
    env = {
        **os.environ,
        "INTERLOCK_LIVENESS_FILE": str(alive),
        "INTERLOCK_TASK_SECONDS_MAX": "5",
        "CELERY_CUSTOM_WORKER_POOL": "workers.coroutines:TaskPool",
        "INTERLOCK_BLOCKED_MS": "200",
        "PYTHONPATH": PYTHONPATH,
        **more,
    }
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "workers", "worker", "-Q", "aio", "-n", f"{alive.stem}@%h",
             "--pool", "custom", "--concurrency", str(concurrency), "--loglevel", "INFO",
             "--without-gossip", "--without-mingle", "--include", "coroutine_tasks"],
            cwd=ROOT, env=env, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    process.log = log.read_text
    with killed_at_the_end(process):
        wait_until(lambda: alive.exists() or process.poll() is not None, what="the worker")
        assert process.poll() is None, process.log()
        process.alive_file = alive
        yield process
