"""`python -m workers dead`: lists, shows, replays and deletes dead letters."""

import json
import time
from collections.abc import Sequence

import click
import redis
from rich.console import Console
from rich.table import Table
from rich.text import Text

from interlock import address
from interlock._text import one_line
from tasks.celery_app import app
from tasks.transport import dead_letters
from tasks.transport.dead_letters import Letter
from tasks.transport.scripts import Keys
from workers.local_stack import redis_server

SHOWN_MAX = 50  # letters in the list


def _open() -> tuple[redis.Redis, Keys]:
    """Return a client and the names of the keys. Raises StackError without Redis."""
    redis_server.check(address.url())
    options = app.conf.broker_transport_options
    client: redis.Redis = redis.Redis.from_url(address.url())
    return client, Keys(options["global_keyprefix"], options["sep"])


def count() -> int:
    """Return how many dead letters there are."""
    client, keys = _open()
    with client:
        return int(client.llen(keys.dead_letters))


def chosen(letters: Sequence[Letter], ids: Sequence[str], task: str | None, every: bool) -> list[Letter]:
    """Return the letters that the options name.

    Raises:
        click.UsageError: none is named, or an id is of no letter.
    """
    if sum(map(bool, (ids, task, every))) != 1:
        raise click.UsageError("name the letters: ids as `dead list` shows them, or --task NAME, or --all")
    for id in ids:
        if not any(letter.id == id for letter in letters):
            raise click.UsageError(f"no dead letter has the id {one_line(id)}: `dead list` shows all")
    return [each for each in letters if every or each.id in ids or (task is not None and each.task == task)]


@click.group("dead")
def dead() -> None:
    """List, show, replay and delete dead letters: messages that no worker can run."""


@dead.command("list")
def list_() -> None:
    """Show the dead letters, the newest first."""
    client, keys = _open()
    with client:
        letters = dead_letters.read(client, keys)
    if not letters:
        click.echo("no dead letters")
        return
    table = Table()
    for heading in ("id", "task", "when", "deliveries", "reason"):
        table.add_column(heading, overflow="fold")
    for each in letters[:SHOWN_MAX]:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(each.fields.get("seconds", 0)))
        cells = (each.id, each.task or "-", when, str(len(each.fields.get("deliveries", ()))), each.fields["reason"])
        table.add_row(*(Text(one_line(str(cell))) for cell in cells))
    Console().print(table)
    if len(letters) > SHOWN_MAX:
        click.echo(f"... and {len(letters) - SHOWN_MAX} more")


@dead.command()
@click.argument("id")
def show(id: str) -> None:
    """Show the dead letters of one task, whole, as JSON."""
    client, keys = _open()
    with client:
        for each in chosen(dead_letters.read(client, keys), [id], None, False):
            click.echo(json.dumps(each.fields, indent=2))


@dead.command()
@click.argument("ids", nargs=-1)
@click.option("--task", help="All letters of this task, by its name.")
@click.option("--all", "every", is_flag=True, help="All letters.")
def replay(ids: tuple[str, ...], task: str | None, every: bool) -> None:
    """Put messages on their queues again; their deliveries are counted anew."""
    client, keys = _open()
    with client:
        letters = chosen(dead_letters.read(client, keys), ids, task, every)
        done = sum(dead_letters.replay(client, keys, each) for each in reversed(letters))
    click.echo(f"on their queues again: {done}")


@dead.command()
@click.argument("ids", nargs=-1)
@click.option("--task", help="All letters of this task, by its name.")
@click.option("--all", "every", is_flag=True, help="All letters.")
def delete(ids: tuple[str, ...], task: str | None, every: bool) -> None:
    """Delete dead letters."""
    client, keys = _open()
    with client:
        letters = chosen(dead_letters.read(client, keys), ids, task, every)
        done = sum(dead_letters.delete(client, keys, each) for each in letters)
    click.echo(f"deleted: {done}")
