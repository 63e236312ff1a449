"""Workers of the three queues on the test server, each on the pool that its queue is for."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager

from paths import PYTHONPATH
from peers import wait_until
from workers_end import killed_at_the_end

from workers.local_stack.children import ROOT

POOLS = {"cpu": "prefork", "io": "threads", "aio": "custom"}


@contextmanager
def queue_worker(tmp_path, queue, *options, concurrency=4, include="awkward_tasks", **more):
    """A worker of that queue, ready, with tasks of tests/support; killed at the end."""
    alive = tmp_path / f"{queue}-{time.monotonic_ns()}.alive"
    log = alive.with_suffix(".log")
    env = {
        **os.environ,
        "INTERLOCK_LIVENESS_FILE": str(alive),
        "INTERLOCK_TASK_SECONDS_MAX": "30",
        "CELERY_CUSTOM_WORKER_POOL": "workers.coroutines:TaskPool",
        "PYTHONPATH": PYTHONPATH,
        **more,
    }
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "workers", "worker", "-Q", queue, "-n", f"{alive.stem}@%h",
             "--pool", POOLS[queue], "--concurrency", str(concurrency), "--loglevel", "INFO",
             "--include", include, *(options or ("--without-gossip", "--without-mingle"))],
            cwd=ROOT, env=env, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    process.log, process.queue, process.node = log.read_text, queue, alive.stem
    with killed_at_the_end(process):
        wait_until(lambda: alive.exists() or process.poll() is not None, within=60, what="the worker")
        assert process.poll() is None, process.log()
        yield process
