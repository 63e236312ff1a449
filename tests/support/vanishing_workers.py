"""Workers that tests kill: the tasks of one that vanished come back after four seconds."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager

from peers import wait_until
from workers_end import killed_at_the_end

from workers.local_stack.children import ROOT

QUICK = {"INTERLOCK_TASK_SECONDS_MAX": "5", "INTERLOCK_VISIBILITY_SECONDS": "4"}


@contextmanager
def worker(tmp_path, queue="cpu", pool="prefork", include="tasks"):
    """A worker on the test server, ready; killed at the end."""
    alive = tmp_path / f"{queue}-{time.monotonic_ns()}.alive"
    custom = {"CELERY_CUSTOM_WORKER_POOL": "workers.coroutines:TaskPool"}
    env = {**os.environ, **QUICK, **custom, "INTERLOCK_LIVENESS_FILE": str(alive)}
    with (tmp_path / "worker.log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "workers", "worker", "-Q", queue, "-n", f"{alive.stem}@%h",
             "--pool", pool, "--concurrency", "2", "--loglevel", "INFO", "--without-gossip", "--without-mingle",
             "--include", include],
            cwd=ROOT, env=env, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    with killed_at_the_end(process):
        wait_until(alive.exists, what="the worker")
        process.alive_file = alive
        yield process
