"""The message that a task runs for. Calls of other tasks as functions, amid its body, belong to it.

Celery's `map` and `starmap` make such calls for each item, and a task's body may. They have no id of their own, and
what must be done once, however often the message is delivered, needs one: `id_of_call` makes it of the message's id and
of the call, so that the same call amid the same message has the same id at each delivery.
"""

import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

CALLS = uuid.UUID("1f0f4c1e-5a0e-4b6c-9d0a-7f6c3f3f0d15")  # of ids of calls alone


@dataclass(frozen=True, eq=False)
class Message:
    """One run for one message."""

    task: Any
    request: Any  # Celery's, with the id
    calls: Counter[str] = field(default_factory=Counter)
    """How often each call was made in this run."""


current: ContextVar[Message | None] = ContextVar("tasks.message", default=None)


@contextmanager
def running(task: Any, request: Any) -> Iterator[None]:
    """Inside, the task's body runs for the message of this request."""
    mark = current.set(Message(task, request))
    try:
        yield
    finally:
        current.reset(mark)


def runs_for(request: Any) -> bool:
    """Whether the message of this request is already running: then its own body calls its task again."""
    message = current.get()
    return message is not None and message.request.id == request.id


def id_of_call(task: Any, *arguments: object) -> str | None:
    """The id under which a call keeps what it has done; None: nobody makes the same call again.

    Args:
        task: that is called.
        arguments: what tells this call from others of the task, as text. Of two equal calls amid one message, the
            first has the id of the first at each delivery.
    """
    id: str | None = task.request.id
    message = current.get()
    if id is not None or message is None:
        return id
    call = " ".join(map(repr, (task.name, *arguments)))
    message.calls[call] += 1
    return uuid.uuid5(CALLS, f"{message.request.id} {message.calls[call]} {call}").hex
