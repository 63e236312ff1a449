"""How far tasks have come, shown to whoever watches their results: bars in a terminal, plain lines elsewhere."""

from typing import Protocol, Self


class Shows(Protocol):
    """Shows how far tasks have come."""

    def advance(self, id: str, label: str, done: float, total: float) -> None:
        """Show that a task has come so far."""

    def end(self, id: str) -> None:
        """Show that a task has ended."""

    def close(self) -> None:
        """Leave what is shown as it is."""


class Display:
    """Shows how far `count` tasks have come, and nothing until one of them says so. Use a display in a `with`."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._ended: set[str] = set()
        self._shows: Shows | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shows is not None:
            self._shows.close()

    def advance(self, id: str, label: str, done: float, total: float) -> None:
        """Show that a task has come so far."""
        if self._shows is None:
            self._shows = self._chosen()
            for each in self._ended:
                self._shows.end(each)
        self._shows.advance(id, label, done, total)

    def end(self, id: str) -> None:
        """Show that a task has ended."""
        self._ended.add(id)
        if self._shows is not None:
            self._shows.end(id)

    def _chosen(self) -> Shows:
        # Not above: with Rich, a producer's import of `tasks` would take longer, and most show no progress.
        from tasks.support.bars import Bars, console

        terminal = console()
        return Lines(self._count) if terminal is None else Bars(terminal, self._count)


class Lines:
    """Prints a line for each tenth of the whole. All tasks count the same."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._shares: dict[str, float] = {}  # by task
        self._ended: set[str] = set()
        self._tenths = -1  # that were printed last

    def advance(self, id: str, label: str, done: float, total: float) -> None:  # noqa: ARG002  a line names no task
        """Print a line if another tenth is done."""
        self._shares[id] = done / total if total else 1.0
        self._print(f"{done:,} of {total:,}")

    def end(self, id: str) -> None:
        """Print a line if another tenth is done."""
        self._ended.add(id)
        self._shares[id] = 1.0
        if self._count > 1:
            self._print("")

    def close(self) -> None:
        """Do nothing: lines stay."""

    def _print(self, amounts: str) -> None:
        whole = sum(self._shares.values()) / self._count
        if 1 < self._count != len(self._ended):
            whole = min(whole, 0.99)  # the rest is the end of the last one
        if (tenths := int(whole * 10)) > self._tenths:
            self._tenths = tenths
            said = amounts if self._count == 1 else f"{len(self._ended):,} of {self._count:,} tasks have ended"
            print(f"Progress: {whole:4.0%} ({said})", flush=True)
