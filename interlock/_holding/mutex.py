"""The mutex of a process's bookkeeping, and what becomes of a call that comes amid it.

A signal handler, or a finalizer that the garbage collector runs, may call interlock while its own thread is amid a few
lines that nobody must see half done. Such a call cannot wait for the thread that it interrupts, and must not ask Redis
there, for the heartbeat needs the mutex. So a call without a result is made by another thread as soon as the mutex is
free, a try gets nothing, and every other call raises `ReentryError`.

A process has one such mutex: with two, an interrupting call could hold one and wait for the other, in the wrong order.
No thread connects, sends, waits or starts a thread under it. Where a handler may strike outside of it, the code uses
single steps that Python does whole: `append` and `pop` of a deque, `setdefault` of a dict.
"""

import contextvars
import logging
import threading
from _thread import start_new_thread
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from interlock import caller
from interlock.errors import ReentryError

log = logging.getLogger("interlock")

own_threads: set[int] = set()  # the heartbeats and listeners of this process: they must not wait for anything


class _Mutex:
    """The one of this process; a child made by fork has a new one."""

    def __init__(self) -> None:
        self.lock: Any = threading.RLock()  # re-entrant, so that it knows its owner


_this_process = _Mutex()


def bookkeeping() -> Any:
    """The mutex of this process's bookkeeping, a `threading.RLock`."""
    return _this_process.lock


def refused(what: str) -> ReentryError:
    """The error of a call that would wait for the thread that it interrupts."""
    return ReentryError(
        f"{what}: called by a signal handler or a finalizer amid interlock's own bookkeeping in the same thread, for "
        "which it would wait for ever: call acquire(False) or release() there, or have another thread make the call"
    )


def check_may_wait(what: str) -> None:
    """Raise `ReentryError` in a thread on which leases depend: a finalizer runs there, and wants to wait."""
    if threading.get_ident() in own_threads:
        raise refused(what)


class _Later:
    """Makes calls in a thread of its own, in order. Adding one takes no mutex."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()  # its `put` may interrupt itself
        self._unstarted = [True]

    def add(self, call: Callable[[], None]) -> None:
        """Have this called."""
        self._calls.put(call)
        try:
            self._unstarted.pop()
        except IndexError:
            return
        try:
            start_new_thread(self._run, ())  # `threading.Thread.start` would wait for the new thread
        except BaseException:
            self._unstarted.append(True)
            raise

    def _run(self) -> None:
        while True:
            self._calls.get()()


_later = _Later()


def later(call: Callable[[], object], what: str) -> None:
    """Make a call that has no result as soon as the mutex is free, for the same owner. Its errors are logged."""
    number, _ = caller.owner()
    context = contextvars.copy_context()

    def made() -> None:
        with bookkeeping():  # whoever was amid it has left
            pass
        caller.stepping.coroutine = number
        try:
            context.run(call)
        except Exception as error:  # nobody is left to hear it
            log.warning("%s, called by a signal handler or a finalizer, failed: %s", what, error)
        finally:
            caller.stepping.coroutine = 0

    _later.add(made)


def forget_after_fork() -> None:
    """In a child: the thread that had the mutex, and the one that makes calls later, are the parent's."""
    global _later
    _this_process.lock = threading.RLock()
    _later = _Later()
    own_threads.clear()


class OnceStarted:
    """A daemon thread that whoever comes first starts. Starting waits for the new thread: never under a mutex.

    Args:
        run: what it does; the thread is one of `own_threads` meanwhile.
        name: the thread's.
    """

    def __init__(self, run: Callable[[], None], name: str) -> None:
        self._run, self._name = run, name
        self._unstarted = [True]

    @property
    def started(self) -> bool:
        """Whether somebody has started it."""
        return not self._unstarted

    def start(self) -> None:
        """Start it, unless somebody did."""
        try:
            self._unstarted.pop()
        except IndexError:
            return
        thread = threading.Thread(target=self._main, name=self._name, daemon=True)
        try:
            thread.start()
        except BaseException:
            if thread.ident is None:
                self._unstarted.append(True)
            raise

    def _main(self) -> None:
        me = threading.get_ident()
        own_threads.add(me)
        try:
            self._run()
        finally:
            own_threads.discard(me)
