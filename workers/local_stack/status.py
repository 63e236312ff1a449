"""One screen, in a second: the workers and their pools, running tasks, queue lengths, holders and waiters."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import redis
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from interlock import address, in_use
from interlock._text import one_line
from tasks.celery_app import app
from tasks.celery_app.settings import AIO, CPU, IO
from tasks.transport.scripts import Keys
from workers.local_stack import redis_server
from workers.local_stack.stack import flower_port

WORKERS_ANSWER_WITHIN = 1.0  # seconds, at most: the wait ends when all known workers have answered
SHOWN_MAX = 10  # running tasks, and locks in use


def unserved_queues() -> tuple[list[str], set[str]]:
    """Return the queues that no worker serves, and the workers that do not answer. Raises StackError without Redis."""
    redis_server.check(address.url())
    known = known_workers(app.backend.client)
    queues = ask("active_queues", known)
    return _unserved(queues), known - set(queues)


def _unserved(queues: Mapping[str, Any]) -> list[str]:
    return sorted({CPU, IO, AIO} - {queue["name"] for served in queues.values() for queue in served})


def known_workers(client: redis.Redis) -> set[str]:
    """Return the workers that listen for questions, or did so until they were killed a moment ago."""
    members = client.smembers(f"{address.prefix()}_kombu.binding.celery.pidbox")
    texts = (member.decode(errors="replace") if isinstance(member, bytes) else member for member in members)
    queues = (text.split(":", 2)[2] for text in texts)  # kombu's routing key, pattern and queue: a name may hold colons
    return {queue.removesuffix(".celery.pidbox") for queue in queues}


def ask(method: str, known: set[str], *, within: float = WORKERS_ANSWER_WITHIN, **options: Any) -> dict[str, Any]:
    """Return each worker's answer, as soon as all known workers have answered, or after `within` seconds."""
    if not known:
        return {}
    return getattr(app.control.inspect(timeout=within, limit=len(known)), method)(**options) or {}


def show() -> int:
    """Print the screen, and return exit code 0 if each queue has a worker, else 1. Raises StackError without Redis."""
    return write(Console())


def write(console: Console) -> int:
    """Write the screen to a console, and return what `show` does. Raises StackError without Redis."""
    redis_server.check(address.url())
    client = app.backend.client
    known = known_workers(client)
    with ThreadPoolExecutor() as at_once:
        asked = (
            at_once.submit(ask, "stats", known),
            at_once.submit(ask, "active", known, safe=True),  # safe: arguments as Flower shows them
            at_once.submit(ask, "active_queues", known),
        )
        stats, active, queues = (each.result() for each in asked)
    server = client.info("server")
    flavour = "valkey" if "valkey_version" in server else "redis"
    console.print(
        f"Redis     {escape(address.masked(address.url()))}, {flavour} {server[f'{flavour}_version']}, "
        f"prefix {escape(one_line(address.prefix())) or '(none)'}"
    )
    port = flower_port()
    answers = redis_server.port_taken(port)
    console.print(f"Flower    http://127.0.0.1:{port}{'' if answers else ' does not answer'}")
    waiting = "  ".join(f"{name}: {client.llen(address.prefix() + name)} waiting" for name in (CPU, IO, AIO))
    console.print(f"Queues    {waiting}")
    letters = client.llen(Keys.of(app).dead_letters)
    console.print(f"Dead      {letters} messages, see `python -m workers dead list`\n" if letters else "")
    _show_workers(console, known | set(stats), stats, active, queues)
    _show_running(console, active)
    _show_locks(console, in_use.look_at_all().in_use)
    missing = _unserved(queues)
    for name in missing:
        console.print(f"No worker takes tasks of queue {name}: start one with `make up`, or look at its log")
    return 1 if missing else 0


def _cell(*lines: str) -> Text:
    """Return a table cell with texts that others chose: one line for each, without markup."""
    return Text("\n".join(map(one_line, lines)))


def _show_workers(
    console: Console, names: set[str], stats: Mapping[str, Any], active: Mapping[str, Any], queues: Mapping[str, Any]
) -> None:
    table = Table(title="Workers", title_justify="left")
    for heading in ("worker", "queues", "pool", "running", "at most", "process id", "tasks begun"):
        table.add_column(heading, overflow="fold")
    for name in sorted(names):
        stat = stats.get(name)
        if stat is None:
            table.add_row(_cell(name), "no answer")
            continue
        pool = stat["pool"]
        table.add_row(
            _cell(name), _cell(", ".join(queue["name"] for queue in queues.get(name, ()))),
            pool["implementation"].partition(":")[0].rpartition(".")[2], str(len(active.get(name, ()))),
            str(pool["max-concurrency"]), str(stat["pid"]), str(sum(stat["total"].values())),
        )  # fmt: skip
    console.print(table if names else "Workers   none")


def _show_running(console: Console, active: Mapping[str, Any]) -> None:
    running = [(task, name) for name, tasks in sorted(active.items()) for task in tasks]
    if not running:
        console.print("Running   nothing")
        return
    table = Table(title="Running tasks", title_justify="left")
    for heading in ("task", "arguments", "on", "seconds"):
        table.add_column(heading, overflow="fold")
    for task, name in running[:SHOWN_MAX]:
        since = time.time() - task["time_start"] if task["time_start"] else 0.0
        table.add_row(_cell(task["name"]), _cell(task["args"]), _cell(name), f"{since:.0f}")
    console.print(table)
    if len(running) > SHOWN_MAX:
        console.print(f"... and {len(running) - SHOWN_MAX} more")


def _show_locks(console: Console, used: Sequence[in_use.InUse]) -> None:
    if not used:
        console.print("Locks     none in use")
        return
    table = Table(title="Locks in use", title_justify="left")
    for heading in ("kind", "name", "held by", "waiting"):
        table.add_column(heading, overflow="fold")
    for each in sorted(used, key=lambda each: -each.waiting)[:SHOWN_MAX]:
        holders = [holder.who for holder in each.holders[:3]]
        more = [f"... and {each.holding - 3} more"] if each.holding > 3 else []
        table.add_row(each.kind, _cell(each.name), _cell(*(holders + more or ["-"])), str(each.waiting))
    console.print(table)
    if len(used) > SHOWN_MAX:
        console.print(f"... and {len(used) - SHOWN_MAX} more")
