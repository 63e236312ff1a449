"""Calls at the orderly end of a process, however the process was started.

A program runs what is registered with `atexit` when it ends. A child of multiprocessing (or billiard) skips that, and
runs the finalizers of `multiprocessing.util` that were registered in the child itself. It forgets those that were
registered before it began, and also those that the import of its main module registered. So this module registers its
calls again in each child, when the child begins.
"""

import atexit
import multiprocessing.util
import os
import threading
from collections.abc import Callable

_ends: list[Callable[[], None]] = []  # what this process calls when it ends


def call_at_end(call: Callable[[], None]) -> None:
    """Have this called when this process ends in order, and when a child of it does.

    It may be called more than once: the second time must do no harm.
    """
    _ends.append(call)
    _register(call)


def _register(call: Callable[[], None]) -> None:
    atexit.unregister(call)
    atexit.register(call)  # Python 3.13 drops the parent's registrations in a forked child, and runs the child's own
    multiprocessing.util.Finalize(None, _after_threads, args=(call,), exitpriority=0)


def _after_threads(call: Callable[[], None]) -> None:
    """Call this when the threads that outlive the main one have ended: a child runs its finalizers before that."""
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
    """Register the calls again, for a child begins."""
    for call in _ends:
        _register(call)


os.register_at_fork(after_in_child=_begin)  # in a child, a finalizer of its parent does nothing
multiprocessing.util.register_after_fork(_begin, _begin)  # called after the child has forgotten its finalizers
