"""What runs, where, with which pool; how long the queues are; who holds and who waits: one screen."""

from typing import Any

from rich.console import Console
from rich.table import Table

import interlock
from interlock import address
from tasks.app import app
from tasks.settings import CPU, IO
from workers.redis_server import StackError

ANSWER_WITHIN = 1.0  # seconds for workers to answer
SHOWN_MAX = 20  # locks and semaphores in use


def require_workers() -> None:
    """Raise unless Redis answers and a worker takes tasks of each queue."""
    interlock.inspect()  # raises if Redis does not answer
    names = {answer_name.partition("@")[0] for each in app.control.ping(timeout=ANSWER_WITHIN) for answer_name in each}
    missing = sorted({CPU, IO} - names)
    if missing:
        raise StackError(f"no worker takes tasks of queue {' and '.join(missing)}: start them with `make up`")


def show() -> int:
    """Print the screen; the exit code: 0 if workers are there, else 1."""
    console = Console()
    client = app.backend.client
    in_use = [each for each in interlock.inspect() if each.holders or each.waiters]  # raises if Redis is away
    console.print(f"Redis      {address.masked(address.url())}  prefix {address.prefix() or '(none)'}")
    lengths = {name: client.llen(address.prefix() + name) for name in (CPU, IO)}
    console.print(f"Queues     {'  '.join(f'{name}: {length} waiting' for name, length in lengths.items())}")
    stats: dict[str, Any] = app.control.inspect(timeout=ANSWER_WITHIN).stats() or {}
    table = Table("worker", "pool", "concurrency", "process id", "tasks done", title="Workers", title_justify="left")
    for name, stat in sorted(stats.items()):
        pool = stat["pool"]
        done = sum(stat["total"].values())
        table.add_row(
            name, pool["implementation"].partition(":")[0].rpartition(".")[2], str(pool["max-concurrency"]),
            str(stat["pid"]), str(done),
        )  # fmt: skip
    console.print(table if stats else "Workers    none answers: start them with `make up`")
    if in_use:
        locks = Table("kind", "name", "held by", "waiting", title="Locks in use", title_justify="left")
        for each in in_use[:SHOWN_MAX]:
            locks.add_row(
                each.kind, each.name, "\n".join(h.who for h in each.holders[:3]) or "-", str(len(each.waiters))
            )
        console.print(locks)
        if len(in_use) > SHOWN_MAX:
            console.print(f"... and {len(in_use) - SHOWN_MAX} more")
    else:
        console.print("Locks      none in use")
    return 0 if stats else 1
