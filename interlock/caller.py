"""On whose behalf a call is made: the seam for task queues, which run many tasks in one thread, one after the other.

A task queue wraps each task in `acting_for`. The task's id and name then ride along with every acquire, for people to
read, and the locks that the task forgot to release are released, with a warning, when it ends.
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
    """Those that acted for it, by the numbers under which they own."""
    label: str = field(init=False, compare=False, repr=False)
    """Name and id on one line: whatever they hold, they go into ids, messages and logs as this."""

    def __post_init__(self) -> None:
        set_once = functools.partial(object.__setattr__, self)
        set_once("id", plain(self.id) if isinstance(self.id, str) else str(self.id))
        set_once("name", plain(self.name) if isinstance(self.name, str) else str(self.name))
        set_once("label", one_line(f"{self.name}[{self.id}]"))


Owner = tuple[int, str | None]
"""Who holds: a thread, or a coroutine (below 0), and the task that it runs."""

current: ContextVar[Caller | None] = ContextVar("interlock.caller", default=None)


class _Stepping(threading.local):
    """Which coroutine's procedure this thread is stepping through at this moment; 0: none."""

    coroutine = 0


stepping = _Stepping()
coroutines: "WeakValueDictionary[int, Task[Any]]" = WeakValueDictionary()
"""The coroutines that have owned anything, by the numbers under which they do."""


def owner() -> Owner:
    """Who holds what is acquired now."""
    caller = current.get()
    return stepping.coroutine or threading.get_ident(), caller.id if caller else None


def ended(owner: Owner | None) -> bool:
    """Whether an owner is a coroutine that has ended, or whose event loop has: what it left held, any may release."""
    if owner is None or owner[0] >= 0:
        return False
    task = coroutines.get(owner[0])
    return task is None or task.done() or task.get_loop().is_closed()
