"""Tasks written as `async def`: their bodies are coroutines, and Celery's tracer, which is synchronous, waits for them.

A worker's pool sets `driver`, which runs a coroutine to its end; on a pool that sets none, each coroutine runs on an
event loop of its own. A call of such a task as a function returns its coroutine: `await fetch_pages(urls)`.
"""

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, TypeAlias

Driver: TypeAlias = Callable[[Coroutine[Any, Any, Any]], Any]
"""Runs a coroutine to its end, and returns or raises what it does."""

driver: ContextVar[Driver] = ContextVar("tasks.driver", default=asyncio.run)
_executing: ContextVar[bool] = ContextVar("tasks.executing", default=False)


@contextmanager
def executing() -> Iterator[None]:
    """Mark that a task runs for its message: inside, its body is awaited, and not returned to the caller."""
    mark = _executing.set(True)
    try:
        yield
    finally:
        _executing.reset(mark)


def awaited(body: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
    """Return the body as a plain function, which the tracer, and Celery's wrapper for `autoretry_for`, can call."""

    @wraps(body)
    def run(*args: Any, **kwargs: Any) -> Any:
        coroutine = body(*args, **kwargs)
        if not _executing.get() or asyncio._get_running_loop() is not None:
            return coroutine  # the caller awaits it
        return driver.get()(coroutine)

    return run


def with_awaited_body(run: Any) -> Any:
    """Return the attribute `run` of a task's class, made a plain function if it is written as `async def`."""
    if isinstance(run, staticmethod):
        return staticmethod(awaited(run.__func__)) if inspect.iscoroutinefunction(run.__func__) else run
    return awaited(run) if inspect.iscoroutinefunction(run) else run
