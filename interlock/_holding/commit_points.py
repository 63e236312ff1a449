"""Commits before a message of `multiprocessing` leaves this process: no result overtakes the updates it tells of.

A process that lingers with a lock commits a little later what finished sections wrote. A pool's worker may be killed
before that commit, when its result has already arrived. So the methods by which such results leave commit first. They
are: `send` and `send_bytes` of the connections, by which multiprocessing, concurrent.futures and billiard send all;
`Queue.put`, whose message a thread sends later; `Event.set` and `Condition.notify`, whose message is a semaphore's.

In a child, a send raises what the calling thread lost, so that a pool reports the call as failed. Where an error would
break the sender's machinery, the send commits and does not raise: the thread or task that wrote is told of the loss
later, as after any other commit.
"""

import importlib
import logging
import os
import pickle
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import wraps
from types import FrameType, ModuleType
from typing import Any, Protocol

from interlock._text import described
from interlock.errors import InterlockError

SENDERS = {  # by module: classes and the method of each that sends
    "connection": [("_ConnectionBase", "send"), ("_ConnectionBase", "send_bytes")],
    "queues": [("Queue", "put"), ("JoinableQueue", "put")],
    "synchronize": [("Event", "set"), ("Condition", "notify")],
}
PACKAGES = ("multiprocessing", "billiard")
FEEDER = "QueueFeederThread"  # this thread sends what `Queue.put` queued after its commit; it prints errors and goes on
MANAGER = "_ExecutorManagerThread"  # the thread of concurrent.futures and loky: if it ends, calls wait for ever
NOTHING = (b"", pickle.dumps(None))  # what a pool sends to wake or to end a thread or a worker: it tells of no result

log = logging.getLogger("interlock")

for each in SENDERS:  # at once: a signal handler that imports amid an import of its own thread would wait for ever
    with suppress(ImportError):  # a platform without semaphores between processes
        importlib.import_module(f"multiprocessing.{each}")


class Committing(Protocol):
    """Something that can commit: the lingering locks of a session."""

    @property
    def unsettled(self) -> bool:
        """Whether a write may be unsent, or be lost and its writer not told. Takes no mutex."""

    def settle(self) -> None:
        """Commit what finished sections wrote; note what is lost."""

    def forgive_all(self) -> list[InterlockError]:
        """Return the losses of the calling task, which is told of them now: they are noted no more."""


_watched: "weakref.WeakSet[Committing]" = weakref.WeakSet()
_wrapped: set[tuple[str, str]] = set()  # packages and modules whose methods commit first


class _Thread(threading.local):
    refused = False  # the commit before its last message raised: the next message, which reports that, must go out


_thread = _Thread()


def watch(committing: Committing) -> None:
    """Have those locks commit before a message leaves this process, from now on."""
    _watched.add(committing)
    for package in PACKAGES:
        for module in SENDERS:
            if (package, module) not in _wrapped:
                found = sys.modules.get(f"{package}.{module}")  # billiard's, if something else has imported it
                if found is not None:
                    _wrapped.add((package, module))
                    _wrap(package, found, SENDERS[module])


def _wrap(package: str, module: ModuleType, methods: list[tuple[str, str]]) -> None:
    for owner, method in methods:
        kind = getattr(module, owner, None)
        if method in vars(kind or object):
            setattr(kind, method, _committing(getattr(kind, method), package))


def _committing(method: Callable[..., Any], package: str) -> Callable[..., Any]:
    @wraps(method)
    def after_commit(self: Any, *arguments: Any, **options: Any) -> Any:
        if _watched:
            _commit(package, arguments)
        return method(self, *arguments, **options)

    return after_commit


def _commit(package: str, arguments: tuple[Any, ...]) -> None:
    committing = [each for each in list(_watched) if each.unsettled]
    if not committing:
        _thread.refused = False
        return
    if any(map(_is_ours, _callers())):  # interlock logs it, or a signal handler sends it, amid our bookkeeping
        return
    refused, _thread.refused = _thread.refused, False
    quiet = refused or _must_not_raise(package, arguments)
    try:
        for each in committing:
            each.settle()
        errors = [] if quiet else [error for each in committing for error in each.forgive_all()]
        for error in errors[1:]:
            errors[0].add_note(f"and: {error}")
        if errors:
            raise errors[0]
    except Exception as error:
        if not quiet:
            _thread.refused = True
            raise
        log.warning("could not commit before a message of %s was sent: %s", package, described(error))


def _must_not_raise(package: str, arguments: tuple[Any, ...]) -> bool:
    if not _is_child(package):  # it sends no results: `flush`, or the next use of the lock, tells of a loss
        return True
    thread = threading.current_thread()
    if thread.name == FEEDER or type(thread).__name__ == MANAGER:
        return True
    if package == "billiard" and "celery" in sys.modules:  # a worker: its tasks commit, and raise, themselves
        return True
    message = arguments[0] if arguments else True
    return message is None or (isinstance(message, bytes | memoryview) and message in NOTHING)


def _is_child(package: str) -> bool:
    """Whether the package started this process, to make calls and send what they return."""
    process = sys.modules[f"{package}.process"].current_process()
    return getattr(process, "_parent_pid", None) is not None


def _callers() -> Iterator[FrameType]:
    frame = sys._getframe(3)
    while frame is not None:
        yield frame
        frame = frame.f_back  # type: ignore[assignment]


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).startswith("interlock.")


def _forget_after_fork() -> None:
    global _watched
    _watched = weakref.WeakSet()


os.register_at_fork(after_in_child=_forget_after_fork)
