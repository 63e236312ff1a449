"""Celery's pool of processes, in which what ends a task does not end its process, nor the worker."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from billiard.einfo import ExceptionInfo
from celery.concurrency import prefork
from kombu.exceptions import EncodeError

from workers.extensions.execution import traced

log = logging.getLogger(__name__)


class TaskPool(prefork.TaskPool):  # type: ignore[misc]
    """The pool."""

    def apply_async(self, target: Callable[..., Any], args: Sequence[Any] = (), **options: Any) -> Any:
        """Run a task in a process when one is free. One whose message no pipe takes has failed."""
        try:
            return super().apply_async(traced, (target, *args), **options)
        except Exception as error:
            return self._failed(options.get("correlation_id"), error)

    def _failed(self, id: str | None, error: Exception) -> Any:
        """End the job that was made of the task, as if its process had said so."""
        job = next((each for each in list(self._pool._cache.values()) if each.correlation_id == id), None)
        if job is None or id is None:
            raise error
        said = f"the task cannot be passed to a process: {error!r:.200}; pass arguments that are not nested so deeply"
        job.discard()
        try:
            raise EncodeError(said) from error
        except EncodeError:
            job._set(None, (False, ExceptionInfo()))
        self._pool._putlock.release()  # its slot
        return job
