"""The task on whose behalf a call is made: for task queues, which run many tasks in one thread, one after the other.

A task queue wraps each task in `acting_for`. Each acquire then carries the task's id and name, for people to read. When
the task ends, Interlock releases the locks that it forgot to release, with a warning.
"""

import functools
import logging
import threading
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from asyncio import Task

from interlock._text import one_line, plain

log = logging.getLogger("interlock")


@dataclass(frozen=True)
class Caller:
    """One run of a task: its id, and a name for people."""

    id: str
    name: str
    coroutines: set[int] = field(default_factory=set, compare=False, repr=False)
    """The coroutines that acted for the task, by the numbers under which they hold."""
    label: str = field(init=False, compare=False, repr=False)
    """Name and id on one line. Ids, messages and logs have them in this form, whatever characters they hold."""

    def __post_init__(self) -> None:
        set_once = functools.partial(object.__setattr__, self)
        set_once("id", plain(self.id) if isinstance(self.id, str) else str(self.id))
        set_once("name", plain(self.name) if isinstance(self.name, str) else str(self.name))
        set_once("label", one_line(f"{self.name}[{self.id}]"))


Owner = tuple[int, str | None]
"""Who holds a lock: the number of a thread, or of a coroutine (below 0), and the id of the task that it runs."""

current: ContextVar[Caller | None] = ContextVar("interlock.caller", default=None)


class _Stepping(threading.local):
    """The number of the coroutine whose procedure this thread steps through at this moment; 0: none."""

    coroutine = 0


stepping = _Stepping()
coroutines: "WeakValueDictionary[int, Task[Any]]" = WeakValueDictionary()
"""The coroutines that have held anything, by the numbers under which they hold."""


def owner() -> Owner:
    """Return who would hold a lock that is acquired now."""
    caller = current.get()
    return stepping.coroutine or threading.get_ident(), caller.id if caller else None


def ended(owner: Owner | None) -> bool:
    """Whether an owner is a coroutine that has ended, or whose event loop has closed.

    Any caller may release what such an owner left held.
    """
    if owner is None or owner[0] >= 0:
        return False
    task = coroutines.get(owner[0])
    return task is None or task.done() or task.get_loop().is_closed()
