"""Celery's pool of processes, except that an error that ends a task ends neither its process nor the worker."""

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
        """Run a task in the next free process. A task whose message no pipe takes fails."""
        try:
            return super().apply_async(traced, (target, *args), **options)
        except Exception as error:
            return self._failed(options.get("correlation_id"), error)

    def _failed(self, id: str | None, error: Exception) -> Any:
        """End the job of a task as if its process had reported this error."""
        job = next((each for each in list(self._pool._cache.values()) if each.correlation_id == id), None)
        if job is None or id is None:
            raise error
        said = f"the task cannot be passed to a process: {error!r:.200}; pass arguments that are not nested so deeply"
        job.discard()
        try:
            raise EncodeError(said) from error
        except EncodeError:
            job._set(None, (False, ExceptionInfo()))
        self._pool._putlock.release()  # the job's slot
        return job
