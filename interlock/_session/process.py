"""The sessions of this process, and its end: what is flushed, released and closed for all of them."""

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

LOCKS = ("Lock", "RLock", "RWLock")  # kinds that a task must not keep beyond its end

log = logging.getLogger("interlock")

_sessions: weakref.WeakKeyDictionary[Client, Session] = weakref.WeakKeyDictionary()
_ending: list[Session] = []  # their clients are no more, and they may hold something


def session(client: Client | None) -> Session:
    """The session of this process with the Redis of that client, or with that of `REDIS_URL`."""
    chosen = client if client is not None else clients.default_client()
    found = _sessions.get(chosen)
    if found is None:
        made = Session(chosen, _forget)
        found = _sessions.setdefault(chosen, made)  # in one step: there is no mutex, see `_holding/mutex.py`
        if found is made:
            weakref.finalize(chosen, _end, found, os.getpid()).atexit = False  # then close does it
    return found


def _forget(session: Session) -> None:
    """A session was closed."""
    with suppress(ValueError):
        _ending.remove(session)


def _end(session: Session, process: int) -> None:
    """The client is no more, nor any primitive that used it. Called amid garbage collection."""
    if process == os.getpid():
        if session.heartbeat.began:
            session.vanishing = True
            _ending.append(session)  # until its heartbeat has closed it, or the end of the process
        session.end()


def release_owned() -> list[Exception]:
    """Releases the locks that the running task holds, with a warning for each; what went wrong, one by one."""
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
            except Exception as error:  # the others must be released all the same
                errors.append(error)
    return errors


def flush() -> None:
    """Commit what this process wrote under locks that it keeps (`linger`): others see it when this returns.

    Called before a task's result is stored, and by whatever another process may take as a signal: `Event.set`,
    `Queue.put`, `Pipe.send`, `notify`, a barrier, `Semaphore.release`, what multiprocessing or billiard sends, the end
    of the process. Call it before telling others in another way. One round trip a lock.

    Raises:
        LeaseLostError, GoneError: something that the calling thread, or its task, wrote was discarded, whole.
        UnreachableError: Redis did not answer until the lease was over.
    """
    for each in list(_sessions.values()):
        each.run(each.lingering.flush())


def commit() -> None:
    """As `flush`, before something else that another process may take as a signal: what is lost is not raised here.

    Raises:
        UnreachableError: Redis did not answer until the lease was over.
    """
    for each in list(_sessions.values()):
        each.run(each.lingering.commit_all())


def _forget_after_fork() -> None:
    """In a child: no session, no leases, no unsent writes. No network call here."""
    forget_after_fork()
    for each in _sessions.values():
        for lingering_lock in each.lingering.all():
            lingering_lock.forget()
    _sessions.clear()
    _ending.clear()


def close() -> None:
    """Give back all that this process holds, and leave every queue: the last call before a process ends.

    A process that ends in order does it by itself. Call it where one ends by `os._exit`, as Celery's pool processes do.
    """
    ended = [*_sessions.values(), *_ending]
    _sessions.clear()  # who comes later begins anew
    for each in ended:
        each.close()


os.register_at_fork(after_in_child=_forget_after_fork)
at_end.call_at_end(close)
