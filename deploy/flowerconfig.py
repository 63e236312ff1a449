"""Flower's settings, for the local stack and for compose: the names are Flower's options (`celery flower --help`).

Flower has no plugin interface, so this file extends three of its pages. The page of workers shows each worker's pool
and concurrency. The page of tasks updates itself, as the page of workers does, and shows arguments in full. `/metrics`
asks for the login that all other pages ask for. Written for Flower 2.2, which pyproject.toml pins.
"""

from typing import Any

from flower.urls import handlers
from flower.views.monitor import Metrics
from flower.views.tasks import TasksView
from flower.views.workers import WorkersView
from tornado.web import authenticated, url

persistent = True  # the history survives a restart; --db names its file
state_save_interval = 10_000  # ms: Flower saves meanwhile, for it saves nothing when it is killed
max_tasks = 10_000  # of about 7 KiB each: memory stays bounded
purge_offline_workers = 60  # s until Flower removes a stopped worker from the page
tasks_columns = "name,args,state,received,runtime,worker,uuid"  # uuid links to the task's own page

POOLS = b"""<script>
$('#workers-table').on('draw.dt', function () {
  $(this).DataTable().rows().every(function () {
    const cell = $('td:first', this.node()), worker = this.data();
    if (worker.pool && !cell.find('.pool').length)
      $('<span class="pool text-body-secondary ms-2">').appendTo(cell)
        .text(worker.pool + ', ' + worker.concurrency + ' at once');
  });
});
</script></body>"""

LIVE = b"""<style>
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
        return super().finish(chunk.replace(b"</body>", POOLS) if isinstance(chunk, bytes) else chunk)


class LiveTasks(TasksView):  # type: ignore[misc]
    """The page of tasks, which reloads its table and shows arguments in full."""

    def finish(self, chunk: Any = None) -> Any:
        """Add the script that reloads the table, and the styles."""
        return super().finish(chunk.replace(b"</body>", LIVE) if isinstance(chunk, bytes) else chunk)


class MetricsBehindLogin(Metrics):  # type: ignore[misc]
    """The metrics, behind the login: they name every task and worker, and Flower shows them to everybody."""

    @authenticated
    async def get(self) -> None:
        """Write the metrics if the user has logged in, or if Flower has no login."""
        await super().get()


OURS = {WorkersView: WorkersWithPools, TasksView: LiveTasks, Metrics: MetricsBehindLogin}

for number, route in enumerate(handlers):
    pattern, view = (route.regex.pattern, route.handler_class) if not isinstance(route, tuple) else route[:2]
    if view in OURS:
        name = None if isinstance(route, tuple) else route.name
        handlers[number] = url(pattern, OURS[view], name=name)
