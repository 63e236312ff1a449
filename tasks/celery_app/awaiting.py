"""Tasks written as `async def`: their bodies are coroutines, and Celery's tracer, which is synchronous, waits for them.

A worker's pool says how a coroutine is run to its end (`driver`); a pool that says nothing runs each on an event loop
of its own. Called directly, such a task returns its coroutine: `await fetch_pages(urls)`.
"""

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, TypeAlias

Driver: TypeAlias = Callable[[Coroutine[Any, Any, Any]], Any]
"""Runs a coroutine to its end; what it returns, or raises."""

driver: ContextVar[Driver] = ContextVar("tasks.driver", default=asyncio.run)
_executing: ContextVar[bool] = ContextVar("tasks.executing", default=False)


@contextmanager
def executing() -> Iterator[None]:
    """Inside, a task is run for its message: its body is awaited, not handed to the caller."""
    mark = _executing.set(True)
    try:
        yield
    finally:
        _executing.reset(mark)


def awaited(body: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
    """The body as the tracer, and what stands between them (`autoretry_for`), call it: a plain function."""

    @wraps(body)
    def run(*args: Any, **kwargs: Any) -> Any:
        coroutine = body(*args, **kwargs)
        if not _executing.get() or asyncio._get_running_loop() is not None:
            return coroutine  # for a caller that awaits it
        return driver.get()(coroutine)

    return run


def with_awaited_body(run: Any) -> Any:
    """The attribute `run` of a task's class: a method, or a staticmethod; changed if it is written as `async def`."""
    if isinstance(run, staticmethod):
        return staticmethod(awaited(run.__func__)) if inspect.iscoroutinefunction(run.__func__) else run
    return awaited(run) if inspect.iscoroutinefunction(run) else run
