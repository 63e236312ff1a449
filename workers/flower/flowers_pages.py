"""Flower's own pages, with what we add to them.

The page of workers shows each worker's pool and concurrency. The page of tasks updates itself, as the page of workers
does, and shows arguments in full. The page of a task has a button to retry it. `/metrics` asks for the login that all
other pages ask for, and has queues and locks.
"""

import logging
from typing import Any

from celery import states
from flower.views.monitor import Metrics
from flower.views.tasks import TasksView, TaskView
from flower.views.workers import WorkersView
from tornado.web import HTTPError, authenticated

from workers.flower.metrics import collector
from workers.flower.pages import Page

log = logging.getLogger(__name__)

POOLS_SCRIPT = b"""<script>
$('#workers-table').on('draw.dt', function () {
  $(this).DataTable().rows().every(function () {
    const cell = $('td:first', this.node()), worker = this.data();
    if (worker.pool && !cell.find('.pool').length)
      $('<span class="pool text-body-secondary ms-2">').appendTo(cell)
        .text(worker.pool + ', ' + worker.concurrency + ' at once');
  });
});
</script></body>"""

LIVE_SCRIPT = b"""<style>
.tasks-table td.overflow-auto {
  max-width: none; min-width: 22rem; white-space: normal !important; overflow-wrap: anywhere
}
.tasks-table td:last-child { max-width: 6rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap }
</style><script>
setInterval(() => document.hidden || $('#tasks-table').DataTable().ajax.reload(null, false), 2000);
</script></body>"""


class WorkersWithPools(WorkersView):  # type: ignore[misc]
    """The page of workers, with the pool of each."""

    def write(self, chunk: Any) -> None:
        """Add pool and concurrency to the data of each worker, and ask the workers that Flower does not know yet."""
        if isinstance(chunk, dict):
            unknown = False
            for worker in chunk["data"]:
                pool = self.application.workers.get(worker["hostname"], {}).get("stats", {}).get("pool")
                if pool:
                    worker["pool"] = pool["implementation"].partition(":")[0].rpartition(".")[2]
                    worker["concurrency"] = pool["max-concurrency"]
                else:
                    unknown = unknown or worker["status"]
            if unknown:
                self.application.update_workers()
        super().write(chunk)

    def finish(self, chunk: Any = None) -> Any:
        """Add the script that shows pool and concurrency."""
        return super().finish(chunk.replace(b"</body>", POOLS_SCRIPT) if isinstance(chunk, bytes) else chunk)


class LiveTasks(TasksView):  # type: ignore[misc]
    """The page of tasks, which reloads its table and shows arguments in full."""

    def finish(self, chunk: Any = None) -> Any:
        """Add the script that reloads the table, and the styles."""
        return super().finish(chunk.replace(b"</body>", LIVE_SCRIPT) if isinstance(chunk, bytes) else chunk)


class TaskWithRetry(TaskView, Page):  # type: ignore[misc]
    """The page of a task. The template asks it whether to show the button."""

    RETRIED = states.READY_STATES


class MetricsBehindLogin(Metrics, Page):  # type: ignore[misc]
    """The metrics, behind the login: they name every task and worker, and Flower shows them to everybody."""

    @authenticated
    async def get(self) -> None:
        """Write the metrics if the user has logged in, or if Flower has no login. Without Redis, Flower's own."""
        try:
            collector.take(await self.blocking(collector.read))
        except HTTPError as error:
            collector.take(None)
            log.warning("no metrics of queues and locks: %s", error.get_message())
        await super().get()


REPLACED = {
    WorkersView: WorkersWithPools, TasksView: LiveTasks, TaskView: TaskWithRetry, Metrics: MetricsBehindLogin,
}  # fmt: skip
