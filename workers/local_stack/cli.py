"""The command line: `python -m workers up | join | demo | run PROGRAM | status | top | dead`."""

import errno
import os
import shlex
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import click

from interlock import address
from workers.local_stack import stopping
from workers.local_stack.children import ROOT
from workers.local_stack.dead import dead
from workers.local_stack.joining.command import join
from workers.local_stack.programs import PROGRAMS
from workers.local_stack.redis_server import NO_REDIS, trouble_text
from workers.local_stack.stack import FIXED_PORTS, Stack, fixed_ports
from workers.local_stack.stopping import Stopped

# Errors of a folder that is full or cannot be used.
OF_FOLDERS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR}


def main() -> None:
    """Run the command line. An error that users can cause is one line; exit code 2 means wrong use, 1 a failure."""
    try:
        stopping.install()
        code = _exit_code()
        stopping.uninstall()
    except Stopped as stopped:
        code = 128 + stopped.number
    sys.exit(code)


def _exit_code() -> int:
    try:
        return int(cli(standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (*NO_REDIS, ValueError) as error:
        said = trouble_text(error)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        remedy = "; TMPDIR names the folder for temporary files" if error.errno in OF_FOLDERS else ""
        said = f"{error.strerror or error}{where}{remedy}"
    click.echo(f"error: {said}", err=True)
    return 1


@click.group()
def cli() -> None:
    """Interlock's local stack: Redis, three workers and Flower; and workers that join those of other machines."""


@cli.command()
def up() -> None:
    """Run the stack until Ctrl-C."""
    try:
        folder = os.environ.get("INTERLOCK_FOLDER")
        data = Path(folder).absolute() if folder else None
        with Stack(fixed_ports(), data=data, tell=click.echo) as stack:
            click.echo(f"\nFlower: {stack.flower_url}\n\nEnqueue a task from another terminal:\n")
            for line in snippet(stack):
                click.echo(f"    {line}")
            click.echo("\nCtrl-C stops everything.")
            while True:
                stack.check()
                time.sleep(0.5)
    except Stopped:
        click.echo("stopped.")


def snippet(stack: Stack) -> tuple[str, str, str]:
    """Return three shell lines that enqueue a task into this stack, without a password."""
    url, prefix = stack.redis_url, stack.variables["INTERLOCK_PREFIX"]
    if address.masked(url) != url:
        second = f": ${{{address.variable()}:?set it as in the terminal of make up}}"
    else:
        second = f"export REDIS_URL={shlex.quote(url)} INTERLOCK_PREFIX={shlex.quote(prefix)}"
    variable, default = FIXED_PORTS["flower"]
    if (port := urlsplit(stack.flower_url).port) != default:  # `status` asks Flower there
        second += f"; export {variable}={port}"
    job = "from tasks import print_square; print(print_square.delay(10).get(timeout=10))"
    return f"cd {shlex.quote(str(ROOT))}", second, f"{shlex.quote(sys.executable)} -c {shlex.quote(job)}"


@cli.command()
def demo() -> int:
    """Run every program of the tutorial, and show a table."""
    from workers.local_stack.demo import run_all

    return run_all()


@cli.command()
@click.argument("program", type=click.Choice([program.name for program in PROGRAMS]))
@click.argument("times", type=click.IntRange(1), required=False)
def run(program: str, times: int | None) -> int:
    """Run one program on the stack that is up.

    TIMES: how many updates each task makes, in the programs that count.
    """
    from workers.local_stack.run import run_program

    if times is not None and not next(each.counting for each in PROGRAMS if each.name == program):
        counting = ", ".join(each.name for each in PROGRAMS if each.counting)
        raise click.UsageError(f"{program} takes no TIMES: only {counting} do")
    return run_program(program, *([] if times is None else [str(times)]))


@cli.command()
def status() -> int:
    """Show workers, queues, and who holds and waits."""
    from workers.local_stack.status import show

    return show()


@cli.command()
@click.option("--every", type=click.FloatRange(0.2, 3600), default=1.0, show_default=True, help="Seconds.")
def top(every: float) -> None:
    """Show the same again and again, until Ctrl-C."""
    from workers.local_stack.top import watch

    with suppress(Stopped):
        watch(every)


cli.add_command(dead)
cli.add_command(join)
