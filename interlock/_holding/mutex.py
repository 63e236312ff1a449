"""The mutex of a process's bookkeeping, and what a call does that interrupts a thread which holds the mutex.

A signal handler, or a finalizer that the garbage collector runs, may call interlock while its own thread is amid a few
lines that no other code must see half done. Such a call cannot wait for the thread that it interrupts. It must not ask
Redis either, for its thread would keep the mutex meanwhile, and the heartbeat needs it. So another thread makes a call
that has no result, as soon as the mutex is free; a try (`acquire(False)`) gets nothing; and every other call raises
`ReentryError`.

A process has one such mutex. With two, an interrupting call could hold one and wait for the other, in the wrong order.
No thread connects, sends, waits or starts a thread under the mutex. Where a handler may interrupt code outside the
mutex, that code uses single steps that Python does whole: `append` and `pop` of a deque, `setdefault` of a dict.
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

own_threads: set[int] = set()  # the threads of this process's heartbeats and listeners: they must not wait for anything


class _Mutex:
    """The mutex of this process; a child made by fork has a new one."""

    def __init__(self) -> None:
        self.lock: Any = threading.RLock()  # an RLock, for it knows its owner


_this_process = _Mutex()


def bookkeeping() -> Any:
    """Return the mutex of this process's bookkeeping, a `threading.RLock`."""
    return _this_process.lock


def refused(what: str) -> ReentryError:
    """Return the error of a call that would wait for the thread that it interrupts."""
    return ReentryError(
        f"{what}: called by a signal handler or a finalizer amid interlock's own bookkeeping in the same thread, for "
        "which it would wait for ever: call acquire(False) or release() there, or have another thread make the call"
    )


def check_may_wait(what: str) -> None:
    """Raise `ReentryError` in a heartbeat or a listener: a finalizer runs there and wants to wait; leases need them."""
    if threading.get_ident() in own_threads:
        raise refused(what)


class _Later:
    """Makes calls in a thread of its own, in the order in which they were added. Adding a call takes no mutex."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()  # whose `put` may interrupt another in its thread
        self._unstarted = [True]

    def add(self, call: Callable[[], None]) -> None:
        """Have the thread make this call."""
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
    """Have another thread make a call that has no result, as soon as the mutex is free, for the same owner.

    Args:
        call: an error that it raises is logged.
        what: the call's name in that log.
    """
    number, _ = caller.owner()
    context = contextvars.copy_context()

    def made() -> None:
        with bookkeeping():  # the thread that had the mutex has left it
            pass
        caller.stepping.coroutine = number
        try:
            context.run(call)
        except Exception as error:  # no caller is left to raise it to
            log.warning("%s, called by a signal handler or a finalizer, failed: %s", what, error)
        finally:
            caller.stepping.coroutine = 0

    _later.add(made)


def forget_after_fork() -> None:
    """In a child made by fork, begin anew: the thread that had the mutex, and the one of `later`, are the parent's."""
    global _later
    _this_process.lock = threading.RLock()
    _later = _Later()
    own_threads.clear()


class OnceStarted:
    """A daemon thread that the first caller of `start` starts. `start` waits for the new thread: not under a mutex.

    Args:
        run: what the thread does; meanwhile, it is one of `own_threads`.
        name: the thread's name.
    """

    def __init__(self, run: Callable[[], None], name: str) -> None:
        self._run, self._name = run, name
        self._unstarted = [True]

    @property
    def started(self) -> bool:
        """Whether a caller has started it, or is about to."""
        return not self._unstarted

    def start(self) -> None:
        """Start the thread, unless another caller has."""
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
