"""Whether a worker is healthy: Redis answers it, its loop turns, and its pool ends tasks.

A worker outlives an outage of Redis by itself, and a restart would end the tasks that run on meanwhile. So an outage
counts only when it is long.
"""

import time
from typing import Any

from tasks.transport.deliveries import all_deliveries
from workers.extensions.overdue import GRACE, Overdue

LOOP_SECONDS_MAX = 60.0  # without a turn of the worker's loop: on a loaded machine, one may come some seconds late


class Health:
    """The health of one worker. One thread at a time may look at it.

    Args:
        worker: Celery's controller of the worker.
        outage_max: seconds without Redis that are no reason to restart the worker.
    """

    def __init__(self, worker: Any, outage_max: float) -> None:
        self._worker, self._outage_max = worker, outage_max
        self._overdue = Overdue()

    def trouble(self) -> str | None:
        """Return in a few words what is wrong and a restart may mend; None: the worker is healthy."""
        return self._outage() or self._loop() or self._pool()

    def _outage(self) -> str | None:
        """Look at both connections: the one by which messages come, and the one by which they are settled."""
        now, away_since = time.monotonic(), self._worker.consumer.away_since
        seconds = max((now - each.answered for each in all_deliveries() if each.begun), default=0.0)
        if away_since is not None:
            seconds = max(seconds, now - away_since)
        return f"it has been without Redis for {seconds:.0f} s" if seconds > self._outage_max else None

    def _loop(self) -> str | None:
        if self._worker.hub is None:  # a pool without a loop
            return None
        seconds = self._worker.consumer.still_for()
        return f"its loop has stood still for {seconds:.0f} s" if seconds > LOOP_SECONDS_MAX else None

    def _pool(self) -> str | None:
        """Look for what keeps the pool from its work: an overdue task in each slot, or a blocked event loop."""
        pool, limit = self._worker.pool, self._worker.app.conf.task_time_limit
        overdue = len(self._overdue.requests(limit))
        if overdue >= pool.num_processes:
            return f"its {overdue} tasks have all run past their time limits, and nothing ends them"
        blocked = getattr(pool, "blocked_for", 0.0)  # the pool for coroutines has it
        return f"a coroutine has blocked the event loop for {blocked:.0f} s" if blocked > limit + GRACE else None
