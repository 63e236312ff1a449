"""What users set: environment variables, each checked at start, with an error that says what is allowed."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from interlock import address


@dataclass(frozen=True)
class Environment:
    """The variables as they are set, or their defaults."""

    redis_url: str
    """REDIS_URL: where Redis is, for the broker, results and primitives alike."""
    prefix: str
    """INTERLOCK_PREFIX: what all keys begin with, so that several stacks share a Redis."""
    task_seconds_max: int
    """INTERLOCK_TASK_SECONDS_MAX: a CPU-bound task, or a coroutine, that runs longer is ended; threads must end
    earlier. After twice as long, a task whose worker vanished is given to another."""
    result_seconds: int
    """INTERLOCK_RESULT_SECONDS: how long results are kept."""
    blocked_ms: int
    """INTERLOCK_BLOCKED_MS: a coroutine that keeps its event loop for longer is named in the worker's log."""


def whole_number(variables: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    """A variable that holds a whole number from low to high. Raises ValueError."""
    text = variables.get(name) or str(default)
    if not (re.fullmatch("[0-9]{1,9}", text) and low <= int(text) <= high):
        raise ValueError(f"{name} must be a whole number from {low} to {high}, not {text[:20]!r}")
    return int(text)


def read(variables: Mapping[str, str] = os.environ) -> Environment:
    """The environment, checked. Raises ValueError for the first variable that is wrong."""
    return Environment(
        redis_url=address.url(),
        prefix=address.prefix(),
        task_seconds_max=whole_number(variables, "INTERLOCK_TASK_SECONDS_MAX", 300, 5, 86_400),
        result_seconds=whole_number(variables, "INTERLOCK_RESULT_SECONDS", 3600, 60, 7 * 86_400),
        blocked_ms=whole_number(variables, "INTERLOCK_BLOCKED_MS", 1000, 10, 60_000),
    )
