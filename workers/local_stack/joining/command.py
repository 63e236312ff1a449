"""The command `join`: all checks first, one line for each that fails; then the workers, until Ctrl-C."""

import os
import re
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import click
import redis
from redis.exceptions import NoPermissionError

import interlock
from interlock import address
from tasks.celery_app import app, environment
from tasks.celery_app.settings import settings
from workers.local_stack import redis_server
from workers.local_stack.joining import clocks, others, server
from workers.local_stack.redis_server import StackError
from workers.local_stack.stopping import Stopped
from workers.local_stack.worker_processes import QUEUE_POOLS, Workers

MACHINE_NAME = re.compile(r"[\w.-]{1,100}", re.ASCII)
LEASE = 30.0  # seconds: then the name of a machine that was killed is free again


def chosen(_: click.Context, __: click.Parameter, text: str) -> list[str]:
    """Return the queues that a text names, separated by commas. Raises click.BadParameter for any other."""
    queues = list(dict.fromkeys(each.strip() for each in text.split(",")))
    if not set(queues) <= set(QUEUE_POOLS):
        raise click.BadParameter(f"{text!r} must be some of {', '.join(QUEUE_POOLS)}, with commas between")
    return queues


def named(_: click.Context, __: click.Parameter, text: str | None) -> str:
    """Return this machine's name in the names of its workers. Raises click.BadParameter if Celery cannot use it."""
    name = socket.gethostname() if text is None else text
    if not MACHINE_NAME.fullmatch(name):
        raise click.BadParameter(f"{name!r} must be letters, digits, dots, - and _, at most 100: give one with --name")
    return name


@click.command()
@click.argument("url", required=False)
@click.option(
    "--queues", default=",".join(QUEUE_POOLS), show_default=True, callback=chosen, help="Whose tasks to take."
)
@click.option("--name", callback=named, help="This machine's name in those of its workers.  [default: its hostname]")
def join(url: str | None, queues: Sequence[str], name: str) -> None:
    """Run workers on this machine, for the Redis at URL (or at REDIS_URL), until Ctrl-C.

    Whatever would go wrong later is checked first, and then nothing is started.
    """
    try:
        _use(url)
        server.reached(address.url())
        with redis_server.impatient(address.url(), server.ANSWERS_WITHIN) as client:
            clock = _fit(client)
        with _claimed(name) as claimed:
            _fit_beside_others(queues, name, claimed=claimed)
            click.echo(f"Redis answers at {address.masked(address.url())}; its clock is {clock} ours.")
            _run(queues, name)
    except Stopped:
        click.echo("stopped.")


def _use(url: str | None) -> None:
    """Have this process, and the workers that it starts, use the server at that address. Raises ValueError."""
    if url is not None:
        os.environ["REDIS_URL"] = url
        os.environ.pop("REDIS_URL_FILE", None)
        app.config_from_object(settings(environment.read()))  # nothing has used the app before


def _refuse(problems: Sequence[str]) -> None:
    """Raise StackError with these lines, if there are any."""
    if problems:
        raise StackError("\nerror: ".join(problems))


def _fit(client: redis.Redis) -> clocks.Difference:
    """Check server and clock, and return how the clocks differ. Raises StackError with a line for each fault."""
    wrong = server.problem(client)
    try:
        found = clocks.difference(client)
    except NoPermissionError:  # TIME is one of the rights that the server's check has found missing
        assert wrong is not None
        raise StackError(wrong) from None
    _refuse([each for each in (wrong, clocks.problem(found)) if each])
    return found


@contextmanager
def _claimed(name: str) -> Iterator[bool]:
    """Hold the name of this machine while the block runs; yield whether it was free.

    The claim is a lock, so that of two machines that join at the same moment under one name only one finds it free. If
    this machine dies, the name is free after the lock's lease.
    """
    lock = interlock.Lock(name=f"workers of {name}", lease=LEASE)
    free = lock.acquire(blocking=False)
    try:
        yield free
    finally:
        if free:
            with suppress(interlock.LeaseLostError, interlock.UnreachableError):  # the lease has ended, or soon will
                lock.release()


def _fit_beside_others(queues: Sequence[str], name: str, *, claimed: bool) -> None:
    """Raise StackError, with a line for each reason, unless our workers can run beside those that run already."""
    found = others.running()
    taken = others.name_taken(found, [f"{queue}@{name}" for queue in queues])
    if taken is None and not claimed:
        taken = (
            f"a machine named {name} has joined already, or was killed less than {LEASE:.0f} s ago: stop it, wait, or "
            "give this machine another name with --name"
        )
    _refuse([*others.other_versions(found), *([taken] if taken else [])])
    for line in others.notes(found):
        click.echo(line)


def _run(queues: Sequence[str], name: str) -> None:
    """Run the workers until a signal comes. Raises StackError if one ends by itself."""
    with Workers({"INTERLOCK_PREFIX": address.prefix()}, queues=queues, machine=name, tell=click.echo) as workers:
        click.echo("\nThis machine has joined, and takes tasks:\n")
        for queue, concurrency in workers.concurrency.items():
            click.echo(f"    {queue}@{name}: queue {queue}, {concurrency} {QUEUE_POOLS[queue].unit}")
        click.echo("\nCtrl-C stops them: tasks that run may end first, or go back to their queues.")
        while True:
            workers.check()
            time.sleep(0.5)
