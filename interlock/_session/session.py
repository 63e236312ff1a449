"""What one process has with one Redis: its identity, what it holds and waits for, and two threads.

The *heartbeat* renews leases and asks again for waiters; the *listener* reads grants. A session ends with its process:
a child made by fork begins one of its own, and its parent keeps what it had.

Why a published message carries the grant and not a list that the waiter blocks on: one connection a process however
many threads wait, no key is left behind, the server says at once when nobody listens, and it works across the slots of
a Redis Cluster. It may be lost; a waiter therefore asks again at least once a second. The price is a change of thread.
"""

import logging
import uuid
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import redis

from interlock import address, caller
from interlock._holding.holdings import Grant, Hold, Holdings
from interlock._holding.lingering import Lingering
from interlock._holding.lingering_lock import lingering_with
from interlock._holding.local_values import Key
from interlock._holding.mutex import refused
from interlock._io import refusals
from interlock._io.cluster import wire_for
from interlock._io.steps import Steps
from interlock._io.steps import run as run_steps
from interlock._io.wire import Client, Wire
from interlock._protocol.scripts import Resource
from interlock._session import clients
from interlock._session.acquiring import Acquiring
from interlock._session.conditions import Conditions
from interlock._session.heartbeat import Heartbeat
from interlock._session.inbox import Inbox
from interlock._session.polling import Polling
from interlock._session.releasing import Releasing
from interlock._session.server_watch import ServerWatch
from interlock._text import described
from interlock.errors import LeaseLostError, UnreachableError

Answer = TypeVar("Answer")
log = logging.getLogger("interlock")


class Session:
    """One process's session with one Redis: its parts, and what they share."""

    def __init__(self, client: Client, on_close: Callable[["Session"], None] = lambda _: None) -> None:
        self._on_close = on_close
        self.vanishing = False  # its client is no more
        self.wire = wire_for(client)
        self.prefix = address.prefix()
        self._id = uuid.uuid4().hex[:12]
        self.holdings = Holdings(self.id)
        self.watch = ServerWatch(self.wire, self.holdings, self._moved, given=clients.given(client))
        self.heartbeat = Heartbeat(self.wire, self.holdings, self._on_grant, self.watch.look, self._vanish)
        self.inbox = Inbox(self.wire, self.holdings, self.heartbeat, self.prefix, self._on_asked)
        self.releasing = Releasing(self.holdings, self.heartbeat)
        self.acquiring = Acquiring(self.holdings, self.heartbeat, self.watch, self.inbox, self.releasing)
        self.polling = Polling(self.holdings, self.heartbeat, self.watch, self.inbox)
        self.lingering = Lingering(self.holdings, self.acquiring, self.releasing, self.run, self.heartbeat.wake_by)
        self.heartbeat.lingering_locks, self.heartbeat.look = self.lingering.all, self.lingering.look
        self.conditions = Conditions(
            self.holdings, self.heartbeat, self.inbox, self.acquiring, self.releasing, self.lingering
        )

    @property
    def id(self) -> str:
        """What ids of its attempts begin with. It is told apart by its end if this is a Cluster's."""
        return self._id + self.wire.mark

    @property
    def client(self) -> Client:
        """A client of its own, for what is rare."""
        return self.wire.client

    def run(self, steps: Steps[Answer]) -> Answer:
        """Take the steps of a procedure, blocking this thread.

        Raises:
            ReentryError: the caller interrupts its own thread amid bookkeeping (`_holding/mutex.py`); it took no step.
        """
        if self.holdings.mutex._is_owned():
            raise refused("interlock")
        if caller.stepping.coroutine >= 0:
            return run_steps(steps, self.call)
        number, caller.stepping.coroutine = caller.stepping.coroutine, 0  # a signal handler, amid a coroutine's steps
        try:
            return run_steps(steps, self.call)
        finally:
            caller.stepping.coroutine = number

    def call(self, *command: str | float) -> Any:
        """One command, one round trip. What a server answers as an error is raised as ours."""
        try:
            return self.wire.call(*command)
        except (redis.ResponseError, redis.AuthenticationError) as error:
            raise refusals.ours(error) from error

    def resource(self, kind: str, name: str, permits: int = 1, ttl_ms: int | None = None) -> Resource:
        """What a primitive of that name is to this session's Redis."""
        return Resource(f"{self.prefix}interlock:{{{name}}}", name, kind, permits, ttl_ms)

    def checked(self) -> Steps[None]:
        """Look at the server, at first use."""
        return self.watch.checked()

    def leave(self, resource: Resource, owner: caller.Owner | None) -> Steps[Hold | None]:
        """The section of the owner ends, with no owner given that of the caller or another; under what it ran, if any.

        Raises as `release`.
        """
        hold = self.holdings.mine(resource, owner)
        lingering_lock = None if hold is None else lingering_with(hold)
        if lingering_lock is not None:
            yield from self.lingering.leave(lingering_lock)
            return hold
        taken = self.holdings.take(resource, owner)
        if taken:
            yield from self.releasing.release(taken[0])
        return taken[0] if taken else None

    # --- what the parts tell ---

    def _moved(self, wire: Wire) -> None:
        """The server was looked at: it is a Cluster's, or it is what it was."""
        self.wire = self.heartbeat.wire = wire
        self.inbox.move(wire)
        self.holdings.session = self.id

    def _on_grant(self, id: str, grant: Grant) -> None:
        self.inbox.on_grant(id, grant)

    def _on_asked(self, id: str, *, broken: bool) -> None:
        self.lingering.on_asked(id, broken=broken)

    # --- the end ---

    def end(self) -> None:
        """Let the threads end, when they next look; then the heartbeat closes it."""
        self.heartbeat.end()
        self.inbox.end()

    def close(self) -> None:
        """At the normal end of a process, or when its client is no more: give back what is held, leave every queue."""
        self.end()
        self._on_close(self)
        holdings = self.holdings
        with holdings.mutex:
            holds, waits = list(holdings.holds.values()), list(holdings.waits.values())
            unsent = {hold.id: _finished(hold) for hold in holds}  # a section that has not ended never was
            holdings.holds.clear()
            holdings.waits.clear()
            for lingering_lock in self.lingering.all():
                lingering_lock.end()
        for hold in holds:
            try:
                self._last(self.releasing.release(hold, unsent[hold.id], until=0.0))
            except UnreachableError as error:
                log.warning("%d holds could not be given back, their leases will run out: %s", len(holds), error)
                return
            except LeaseLostError:
                log.info(
                    "at the end of the process, the lease of %s %r was over", hold.resource.kind, hold.resource.name
                )
            except Exception as error:  # the others must be given back all the same
                log.warning("could not give back %r, its lease will run out: %s", hold.resource.name, described(error))
        for wait in waits:
            self._last(self.acquiring.leave(wait))
            wait.signal.wake()
        for loss in self.lingering.untold():
            log.warning("lost, and nobody asked: %s", loss)

    def _vanish(self) -> None:
        """The heartbeat's last act. If the client is no more, leave no thread and no connection behind."""
        if not self.vanishing:
            return
        try:
            self.close()
        except Exception as error:  # there is nobody to tell
            log.info("a session whose client is no more was not closed: %s", described(error))
        finally:
            self.inbox.close()
            self.wire.close()

    def _last(self, steps: Steps[Any]) -> None:
        """As `run`, also for a signal handler that comes amid bookkeeping: what it interrupts does not matter now."""
        run_steps(steps, self.call)


def _finished(hold: Hold) -> Mapping[Key, Any]:
    """What is to be stored of a hold that the end of the process ends."""
    lingering_lock = lingering_with(hold)
    if lingering_lock is not None and lingering_lock.hold is hold:
        return lingering_lock.close()
    return hold.local_values.unsent(hold.running if hold.releaser is None else None)
