"""The orderly end of a process: what is called then, however the process was started.

A program ends by `atexit`. A child of multiprocessing (or billiard) skips that, and runs the finalizers of
`multiprocessing.util` that were registered in the child itself: it forgets those of before, also the ones that the
import of its main module registered. So they are registered again in each child, when it begins.
"""

import atexit
import multiprocessing.util
import os
import threading
from collections.abc import Callable

_ends: list[Callable[[], None]] = []  # what is called


def call_at_end(call: Callable[[], None]) -> None:
    """Call it when this process ends in order, and when a child of it does. More than one call must do no harm."""
    _ends.append(call)
    _register(call)


def _register(call: Callable[[], None]) -> None:
    atexit.unregister(call)
    atexit.register(call)  # Python 3.13 forgets it in a child that was forked, and runs it there
    multiprocessing.util.Finalize(None, _after_threads, args=(call,), exitpriority=0)


def _after_threads(call: Callable[[], None]) -> None:
    """Call it when the threads have ended that outlive the main one: a child's finalizers run before they end."""
    threads = [each for each in threading.enumerate() if not each.daemon and each is not threading.main_thread()]
    if threads:
        threading.Thread(target=_join, args=(threads, call), name="interlock-end", daemon=False).start()
    else:
        call()


def _join(threads: list[threading.Thread], call: Callable[[], None]) -> None:
    for each in threads:
        each.join()
    call()


def _begin(_: object = None) -> None:
    """A child begins."""
    for call in _ends:
        _register(call)


os.register_at_fork(after_in_child=_begin)  # a finalizer of its parent does nothing in a child
multiprocessing.util.register_after_fork(_begin, _begin)  # after the child has forgotten its finalizers
