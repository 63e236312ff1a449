"""Celery's pool of processes, in which what ends a task does not end its process."""

from collections.abc import Callable, Sequence
from typing import Any

from celery.concurrency import prefork

from workers.execution import traced


class TaskPool(prefork.TaskPool):  # type: ignore[misc]
    """The pool."""

    def apply_async(self, target: Callable[..., Any], args: Sequence[Any] = (), **options: Any) -> Any:
        """Run a task in a process when one is free."""
        return super().apply_async(traced, (target, *args), **options)
