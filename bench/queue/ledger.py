"""Read which tasks ran, and when: each task notes that itself, in a file that bench and worker map into memory."""

import mmap
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from workers.local_stack.children import Child

BEGUN_WITHIN = 60.0  # seconds until the first task has ended: a loaded machine starts a worker slowly
STALLED = 30.0  # seconds without a task that ends, after the first
LOOK_EVERY = 0.05  # seconds between two looks, which read all of the file
FIELDS = 3  # of each task, as bench/queue/apps/body.py writes them: runs, began, ended
NAMED = 5  # tasks that an error names at most


class WrongError(Exception):
    """A worker did not run each task once, or left no result of it; the text says so in one line."""


class Ledger:
    """The file for a number of tasks; a context manager, which unmaps it."""

    def __init__(self, path: Path, count: int) -> None:
        self.path, self.count = path, count
        path.write_bytes(bytes(8 * FIELDS * count))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._map.close()

    def _read(self, field: int) -> list[int]:
        """Return one field of all tasks."""
        with memoryview(self._map) as whole, whole.cast("q") as cells:
            return cells.tolist()[field::FIELDS]

    def wait(self, worker: Child) -> None:
        """Wait until each task has ended.

        Raises:
            WrongError: the worker has ended before, or for too long no task ended: BEGUN_WITHIN for the first one,
                STALLED later.
        """
        ended, since = 0, time.monotonic()
        while True:
            alive = worker.running  # asked first: a worker may note its last task and end
            now_ended = sum(1 for end in self._read(2) if end)
            if now_ended == self.count:
                return
            if now_ended > ended:
                ended, since = now_ended, time.monotonic()
            if not alive:
                raise WrongError(f"ran {ended:,} of {self.count:,} tasks: {worker.ending()}")
            patience = STALLED if ended else BEGUN_WITHIN
            if time.monotonic() - since > patience:
                raise WrongError(f"ran {ended:,} of {self.count:,} tasks, and then none for {patience:g} seconds")
            time.sleep(LOOK_EVERY)

    def per_second(self) -> float:
        """Return the number of tasks over the time from the first start to the last end.

        Raises:
            WrongError: a task did not run, or ran more than once.
        """
        runs = self._read(0)
        wrong = [f"task {number} {each} times" for number, each in enumerate(runs) if each != 1]
        if wrong:
            more = f" and {len(wrong) - NAMED:,} more" if len(wrong) > NAMED else ""
            raise WrongError(f"did not run each task once: {', '.join(wrong[:NAMED])}{more}")
        return self.count / ((max(self._read(2)) - min(self._read(1))) / 1e9)
