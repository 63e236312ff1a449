"""Bars in a terminal that show how far tasks have come. Rich draws them."""

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

BARS_MAX = 8  # bars at once, beside that of the whole


def console() -> Console | None:
    """Return the terminal that the standard output is; None: it is none, or one that can only print lines."""
    found = Console()
    real = found.file.isatty()  # FORCE_COLOR makes Rich take a pipe for a terminal
    return found if real and found.is_terminal and not found.is_dumb_terminal else None


class Bars:
    """Draws a bar for each of the first few tasks that run, and one for the whole if there are several."""

    def __init__(self, terminal: Console, count: int) -> None:
        self._count = count
        self._bars: dict[str, TaskID] = {}  # by task
        self._ended: set[str] = set()
        self._progress = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(),
            TextColumn("{task.fields[amounts]}", markup=False), console=terminal,
        )  # fmt: skip
        self._whole = None if count == 1 else self._progress.add_task("all", total=count, amounts=self._of_tasks())
        self._progress.start()

    def advance(self, id: str, label: str, done: float, total: float) -> None:
        """Draw the task's bar."""
        if id not in self._bars:
            if id in self._ended or len(self._bars) >= BARS_MAX:
                return
            self._bars[id] = self._progress.add_task(label, amounts="")
        part, whole = (done, total) if total else (1, 1)  # 0 of 0 is a full bar
        self._progress.update(self._bars[id], completed=part, total=whole, amounts=f"{done:,} of {total:,}")

    def end(self, id: str) -> None:
        """Remove the task's bar, unless it is the only one."""
        self._ended.add(id)
        if self._whole is None:
            return
        if id in self._bars:
            self._progress.remove_task(self._bars.pop(id))
        self._progress.update(self._whole, completed=len(self._ended), amounts=self._of_tasks())

    def close(self) -> None:
        """Leave the bars as they are."""
        self._progress.stop()

    def _of_tasks(self) -> str:
        return f"{len(self._ended):,} of {self._count:,} tasks"
