"""Flower's settings, for the local stack and for compose: names of Flower's options (`celery flower --help`).

Flower has no plugin interface, so three of its pages are extended here: the page of the workers says each one's pool
and concurrency, the page of the tasks is as live as the other and shows arguments whole, and `/metrics` asks for the
login that all other pages ask for. Written for Flower 2.2, to which pyproject.toml keeps us.
"""

from typing import Any

from flower.urls import handlers
from flower.views.monitor import Metrics
from flower.views.tasks import TasksView
from flower.views.workers import WorkersView
from tornado.web import authenticated, url

persistent = True  # a history that survives a restart; --db says where
state_save_interval = 10_000  # ms: saved as it goes, for a Flower that is killed saves nothing more
max_tasks = 10_000  # of about 7 KiB: memory stays bounded
purge_offline_workers = 60  # s until a stopped worker leaves the page
tasks_columns = "name,args,state,received,runtime,worker,uuid"  # the last leads to the task's own page

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
    """The page of the workers, with what each one's pool is."""

    def write(self, chunk: Any) -> None:
        """Add pool and concurrency to the data of each worker; ask those that came after Flower's start."""
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
        """Add the script that shows them."""
        return super().finish(chunk.replace(b"</body>", POOLS) if isinstance(chunk, bytes) else chunk)


class LiveTasks(TasksView):  # type: ignore[misc]
    """The page of the tasks, which reads its table again by itself and cuts no arguments."""

    def finish(self, chunk: Any = None) -> Any:
        """Add the script that does it."""
        return super().finish(chunk.replace(b"</body>", LIVE) if isinstance(chunk, bytes) else chunk)


class MetricsBehindLogin(Metrics):  # type: ignore[misc]
    """The metrics, which name every task and worker: Flower itself shows them to everybody."""

    @authenticated
    async def get(self) -> None:
        """Write the metrics, if whoever asks has logged in or Flower has no login."""
        await super().get()


OURS = {WorkersView: WorkersWithPools, TasksView: LiveTasks, Metrics: MetricsBehindLogin}

for number, route in enumerate(handlers):
    pattern, view = (route.regex.pattern, route.handler_class) if not isinstance(route, tuple) else route[:2]
    if view in OURS:
        name = None if isinstance(route, tuple) else route.name
        handlers[number] = url(pattern, OURS[view], name=name)
