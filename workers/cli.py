"""The command line: `python -m workers up | demo | run PROGRAM | status`."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

import click
import redis

from interlock import InterlockError, address
from workers.children import ROOT
from workers.programs import PROGRAMS
from workers.redis_server import StackError
from workers.stack import Stack, fixed_ports


class Stopped(BaseException):
    """A signal asked us to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _stop(number: int, _: FrameType | None) -> None:
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)  # we are stopping: a second Ctrl-C must not stop the cleaning up
    raise Stopped(number)


def main() -> None:
    """Run the command line: one line for what users can cause, exit code 2 for wrong use, 1 for failures."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, _stop)
    try:
        code = cli(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except click.Abort:
        code = 130
    except Stopped as stopped:
        code = 128 + stopped.number
    except (StackError, InterlockError, redis.RedisError, ValueError) as error:
        click.echo(f"error: {error}", err=True)
        code = 1
    sys.exit(code)


@click.group()
def cli() -> None:
    """Interlock's local stack: Redis, two workers and Flower."""


@cli.command()
def up() -> None:
    """Run the stack until Ctrl-C."""
    try:
        folder = os.environ.get("INTERLOCK_FOLDER")
        data = Path(folder).absolute() if folder else None
        with Stack(fixed_ports(), data=data, tell=click.echo) as stack:
            click.echo(f"\nFlower: {stack.flower_url}\n\nEnqueue a job from another terminal:\n")
            for line in snippet(stack):
                click.echo(f"    {line}")
            click.echo("\nCtrl-C stops everything.")
            while True:
                stack.check()
                time.sleep(0.5)
    except Stopped:
        click.echo("stopped.")


def snippet(stack: Stack) -> tuple[str, str, str]:
    """Three lines for a shell that enqueue a job into this stack; a password is not shown."""
    url, prefix = stack.variables["REDIS_URL"], stack.variables["INTERLOCK_PREFIX"]
    if address.masked(url) != url:
        second = ": ${REDIS_URL:?set it as in the terminal of make up}"
    else:
        second = f"export REDIS_URL={shlex.quote(url)} INTERLOCK_PREFIX={shlex.quote(prefix)}"
    job = "from tasks import print_square; print(print_square.delay(10).get(timeout=10))"
    return f"cd {shlex.quote(str(ROOT))}", second, f"{shlex.quote(sys.executable)} -c {shlex.quote(job)}"


@cli.command()
def demo() -> None:
    """Run every program of the tutorial, and show a table."""
    from workers.demo import run_all

    sys.exit(run_all())


@cli.command()
@click.argument("program", type=click.Choice([program.name for program in PROGRAMS]))
@click.argument("times", type=click.IntRange(1), required=False)
def run(program: str, times: int | None) -> None:
    """Run one program on the stack that is up.

    TIMES: how many updates each task makes, in the programs that count.
    """
    from workers.status import require_workers

    if times is not None and not next(each.counting for each in PROGRAMS if each.name == program):
        counting = ", ".join(each.name for each in PROGRAMS if each.counting)
        raise click.UsageError(f"{program} takes no TIMES: only {counting} do")
    require_workers()
    arguments = [] if times is None else [str(times)]
    sys.exit(subprocess.call([sys.executable, "-m", f"examples.{program}", *arguments], cwd=ROOT))


@cli.command()
def status() -> None:
    """Show workers, queues, and who holds and waits."""
    from workers.status import show

    sys.exit(show())
