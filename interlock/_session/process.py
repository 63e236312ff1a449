"""The sessions of this process, and its end: it flushes, releases and closes all of them."""

import logging
import os
import warnings
import weakref
from contextlib import suppress

from interlock import caller
from interlock._holding.mutex import forget_after_fork
from interlock._io.wire import Client
from interlock._session import at_end, clients
from interlock._session.session import Session
from interlock.errors import InterlockError, raise_first

LOCKS = ("Lock", "RLock", "RWLock")  # kinds that a task must not keep beyond its end

log = logging.getLogger("interlock")

_sessions: weakref.WeakKeyDictionary[Client, Session] = weakref.WeakKeyDictionary()
_ending: list[Session] = []  # sessions whose clients are no more, and which may hold something


def session(client: Client | None) -> Session:
    """Return this process's session with the Redis of that client; None: with the Redis of `REDIS_URL`."""
    chosen = client if client is not None else clients.default_client()
    found = _sessions.get(chosen)
    if found is None:
        made = Session(chosen, _forget)
        found = _sessions.setdefault(chosen, made)  # one step in place of a mutex: see `_holding/mutex.py`
        if found is made:
            weakref.finalize(chosen, _end, found, os.getpid()).atexit = False  # `close` ends it then
    return found


def _forget(session: Session) -> None:
    """Forget a session that was closed."""
    with suppress(ValueError):
        _ending.remove(session)


def _end(session: Session, process: int) -> None:
    """End a session whose client is no more, nor any primitive that used it. Called amid garbage collection."""
    if process == os.getpid():
        if session.heartbeat.began:
            session.vanishing = True
            _ending.append(session)  # until its heartbeat has closed it, or the end of the process
        session.end()


def release_owned() -> list[Exception]:
    """Release the locks that the running task holds, with a warning for each; return the errors, one by one."""
    owner, running = caller.owner(), caller.current.get()
    owners = {owner, *((number, running.id) for number in running.coroutines)} if running else {owner}
    task = running.label if running else "that ran"
    errors: list[Exception] = []
    for each in list(_sessions.values()):
        holdings = each.holdings
        with holdings.mutex:
            left = [
                (hold.resource, hold.owner)
                for hold in holdings.holds.values()
                if hold.owner in owners and hold.resource.kind in LOCKS
            ]
        for resource, owner in left:
            text = f"the task {task} ended holding the {resource.kind} {resource.name!r}: released"
            warnings.warn(text, ResourceWarning, stacklevel=3)
            log.warning(text)
            try:
                each.run(each.leave(resource, owner))
            except Exception as error:  # the other locks must be released all the same
                errors.append(error)
    return errors


def flush() -> None:
    """Commit what this process wrote under locks that it keeps (`linger`): others see it when this returns.

    Interlock itself commits before a task's result is stored, and before all that another process may take as a signal:
    `Event.set`, `Queue.put`, `Pipe.send`, `notify`, a barrier, `Semaphore.release`, what multiprocessing or billiard
    sends, the end of the process. Call `flush` before you tell others in another way. Costs one round trip for each
    lock.

    Raises:
        LeaseLostError, GoneError: what the calling thread, or its task, wrote under a lock was discarded as a whole. If
            it lost more than that, the error's notes say what.
        UnreachableError: Redis did not answer until the lease was over.
    """
    errors = []
    for each in list(_sessions.values()):
        try:
            each.run(each.lingering.flush())
        except InterlockError as error:  # the sessions with other servers commit all the same
            errors.append(error)
    raise_first(errors)


def commit() -> None:
    """Commit as `flush` does, before what another process may take as a signal; losses stay noted, not raised.

    Raises:
        UnreachableError: Redis did not answer until the lease was over.
    """
    for each in list(_sessions.values()):
        each.run(each.lingering.commit_all())


def _forget_after_fork() -> None:
    """In a child made by fork, forget all sessions, leases and unsent writes. This makes no network call."""
    forget_after_fork()
    for each in _sessions.values():
        for lingering_lock in each.lingering.all():
            lingering_lock.forget()
    _sessions.clear()
    _ending.clear()


def close() -> None:
    """Give back all that this process holds, and leave every queue: the last call before a process ends.

    A process that ends in order does this by itself. Call it in a process that ends by `os._exit`, as Celery's pool
    processes do.
    """
    ended = [*_sessions.values(), *_ending]
    _sessions.clear()  # a later caller begins a new session
    for each in ended:
        each.close()


os.register_at_fork(after_in_child=_forget_after_fork)
at_end.call_at_end(close)
