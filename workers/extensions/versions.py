"""What a worker says of its versions, in its answer to `celery inspect stats`: `python -m workers join` compares it."""

import platform
from typing import Any

import celery
from celery import bootsteps

import interlock
from tasks.celery_app.environment import read

VERSIONS_FIELD = "versions"  # the name of the field in the answer


def own() -> dict[str, str]:
    """Return the versions of this process, and the setting that all workers must share."""
    return {
        "interlock": interlock.__version__,
        "celery": celery.__version__,
        "python": platform.python_version(),
        "visibility_seconds": str(read().visibility_seconds),
    }


class Versions(bootsteps.StartStopStep):  # type: ignore[misc]
    """Adds the versions to the answer: Celery's `stats` asks each step for its part. This needs no key and no right."""

    def info(self, _: Any) -> dict[str, Any]:
        """Return the part of the answer that is ours."""
        return {VERSIONS_FIELD: own()}
