"""The message that a task runs for. Calls of other tasks as functions, in its body, belong to the same message.

Celery's `map` and `starmap` make such a call for each item, and any task may. The calls have no id of their own. But a
call that must take effect once, however often the message is delivered, needs an idempotency key. `id_of_call` makes it
from the message's id and the call: the same call for the same message has the same id at each delivery.
"""

import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

CALLS = uuid.UUID("1f0f4c1e-5a0e-4b6c-9d0a-7f6c3f3f0d15")  # the namespace of these ids, used for nothing else


@dataclass(frozen=True, eq=False)
class Message:
    """One run of a task for one message."""

    task: Any
    request: Any  # Celery's, with the id
    calls: Counter[str] = field(default_factory=Counter)
    """How often this run made each call."""


current: ContextVar[Message | None] = ContextVar("tasks.celery_app.message", default=None)


@contextmanager
def running(task: Any, request: Any) -> Iterator[None]:
    """Mark that the task's body runs, inside, for the message of this request."""
    mark = current.set(Message(task, request))
    try:
        yield
    finally:
        current.reset(mark)


def runs_for(request: Any) -> bool:
    """Whether the message of this request runs already: then its task's body calls the task again."""
    message = current.get()
    return message is not None and message.request.id == request.id


def id_of_call(task: Any, *arguments: object) -> str | None:
    """Return the idempotency key of a call, the same at each delivery of its message; None: the call is never repeated.

    Args:
        task: the task that is called.
        arguments: the values that distinguish this call from other calls of the task. Of two equal calls for one
            message, the first has the same id at each delivery, and so has the second.
    """
    id: str | None = task.request.id
    message = current.get()
    if id is not None or message is None:
        return id
    call = " ".join(map(repr, (task.name, *arguments)))
    message.calls[call] += 1
    return uuid.uuid5(CALLS, f"{message.request.id} {message.calls[call]} {call}").hex
