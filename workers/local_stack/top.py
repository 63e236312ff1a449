"""A live screen of what `status` shows; where the output is no terminal, the same lines again and again."""

import io
import time

from rich.console import Console
from rich.live import Live
from rich.text import Text

from workers.local_stack import status
from workers.local_stack.redis_server import NO_REDIS, trouble_text


def watch(every: float) -> None:
    """Show the screen every so many seconds, until the process is told to stop. An outage of Redis is one line."""
    console = Console()
    if not console.is_terminal:
        while True:
            console.print(Text.from_ansi(drawn(console)))
            time.sleep(every)
    with Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            live.update(Text.from_ansi(drawn(console)), refresh=True)
            time.sleep(every)


def drawn(console: Console) -> str:
    """Return the screen as this console would show it."""
    text = io.StringIO()
    page = Console(
        file=text, width=console.width, height=console.height, force_terminal=console.is_terminal,
        no_color=console.no_color, color_system="standard" if console.color_system else None,
    )  # fmt: skip
    page.print(time.strftime("%H:%M:%S"), highlight=False)
    try:
        status.write(page)
    except NO_REDIS as error:
        page.print(Text(trouble_text(error)))
    return text.getvalue()
