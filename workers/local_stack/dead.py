"""`python -m workers dead`: lists, shows, replays and deletes dead letters."""

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

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

LETTERS_SHOWN_MAX = 50  # letters in the list


def _open() -> redis.Redis:
    """Return a client. Raises StackError without Redis."""
    redis_server.check(address.url())
    return redis.Redis.from_url(address.url())


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
    with _open() as client:
        letters = dead_letters.read(client, Keys.of(app))
    if not letters:
        click.echo("no dead letters")
        return
    table = Table()
    for heading in ("id", "task", "when", "deliveries", "reason"):
        table.add_column(heading, overflow="fold")
    for each in letters[:LETTERS_SHOWN_MAX]:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(each.fields.get("seconds", 0)))
        cells = (each.id, each.task or "-", when, str(len(each.fields.get("deliveries", ()))), each.fields["reason"])
        table.add_row(*(Text(one_line(str(cell))) for cell in cells))
    Console().print(table)
    if len(letters) > LETTERS_SHOWN_MAX:
        click.echo(f"... and {len(letters) - LETTERS_SHOWN_MAX} more")


@dead.command()
@click.argument("id")
def show(id: str) -> None:
    """Show the dead letters of one task, whole, as JSON."""
    with _open() as client:
        for each in chosen(dead_letters.read(client, Keys.of(app)), [id], None, False):
            click.echo(json.dumps(each.fields, indent=2))


def _choice(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the arguments that `chosen` takes."""
    for option in (
        click.option("--all", "every", is_flag=True, help="All letters."),
        click.option("--task", help="All letters of this task, by its name."),
        click.argument("ids", nargs=-1),
    ):
        command = option(command)
    return command


def _each(action: Callable[[redis.Redis, Keys, Letter], bool], *choice: Any) -> int:
    """Do an action with each letter of a choice, the oldest first; return with how many it succeeded."""
    with _open() as client:
        letters = chosen(dead_letters.read(client, Keys.of(app)), *choice)
        return sum(action(client, Keys.of(app), each) for each in reversed(letters))


@dead.command()
@_choice
def replay(ids: tuple[str, ...], task: str | None, every: bool) -> None:
    """Put messages on their queues again; their deliveries are counted anew."""
    click.echo(f"on their queues again: {_each(dead_letters.replay, ids, task, every)}")


@dead.command()
@_choice
def delete(ids: tuple[str, ...], task: str | None, every: bool) -> None:
    """Delete dead letters."""
    click.echo(f"deleted: {_each(dead_letters.delete, ids, task, every)}")
