"""What one process has with one Redis: an id, what the process holds and waits for, and two threads.

The *heartbeat* renews leases and asks again for waiters; the *listener* reads grants. A session ends with its process:
a child made by fork begins a session of its own, and its parent keeps what it had.

A published message carries the grant, and not a list that the waiter blocks on, for four reasons. A process needs one
connection, however many of its threads wait. No key is left behind. The server says at once when nobody listens. And
messages work across the slots of a Redis Cluster. A message may be lost, so a waiter asks again at least once a second.
The price is a change of thread.
"""

import logging
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

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
from interlock._session.registry import Registry
from interlock._session.releasing import Releasing
from interlock._session.server_watch import ServerWatch
from interlock._text import described
from interlock.errors import LeaseLostError, UnreachableError

Answer = TypeVar("Answer")
log = logging.getLogger("interlock")


class Walk(Protocol):
    """A coroutine's way through a procedure."""

    def drop(self) -> None:
        """End the procedure in a thread."""


class Session:
    """One process's session with one Redis: its parts, and what they share.

    Args:
        client: of the user, or from `REDIS_URL`; the session's wire is made from it, and does not keep it.
        on_close: called with the session when it is closed.
    """

    def __init__(self, client: Client, on_close: Callable[["Session"], None] = lambda _: None) -> None:
        self._on_close = on_close
        self.vanishing = False  # its client is no more
        self.wire = wire_for(client)
        self.prefix = address.prefix()
        self._id = uuid.uuid4().hex[:12]
        self.holdings = Holdings(self.id)
        self.watch = ServerWatch(self.wire, self.holdings, self._moved, given=clients.given(client))
        registry = Registry(self.holdings, self.prefix)
        self.heartbeat = Heartbeat(
            self.wire, self.holdings, self._on_grant, self.watch.look, self._vanish, registry,
            lambda: registry.send(self.inbox.outbox),
        )  # fmt: skip
        self.inbox = Inbox(self.wire, self.holdings, self.heartbeat, self.prefix, self._on_asked)
        self.releasing = Releasing(self.holdings, self.heartbeat)
        self.acquiring = Acquiring(self.holdings, self.heartbeat, self.watch, self.inbox, self.releasing)
        self.polling = Polling(self.holdings, self.heartbeat, self.watch, self.inbox)
        self.lingering = Lingering(self.holdings, self.acquiring, self.releasing, self.run, self.heartbeat.wake_by)
        self.heartbeat.lingering_locks, self.heartbeat.look = self.lingering.all, self.lingering.look
        self.walks: dict[Walk, Any] = {}  # what coroutines are in the middle of, with their event loops
        self.heartbeat.look_at_loops = self._look_at_loops
        self.conditions = Conditions(
            self.holdings, self.heartbeat, self.inbox, self.acquiring, self.releasing, self.lingering
        )

    def _look_at_loops(self) -> None:
        """End procedures whose event loops were closed in the middle: no coroutine takes their next step."""
        for walk, loop in list(self.walks.items()):
            if loop.is_closed():
                walk.drop()

    @property
    def id(self) -> str:
        """The id of the session, with which the ids of its attempts begin. Its end tells whether it is a Cluster's."""
        return self._id + self.wire.mark

    @property
    def client(self) -> Client:
        """A client of the session's own, for rare commands."""
        return self.wire.client

    def run(self, steps: Steps[Answer]) -> Answer:
        """Take the steps of a procedure, blocking this thread.

        Raises:
            ReentryError: the caller interrupts its own thread amid bookkeeping (`_holding/mutex.py`); no step is taken.
        """
        if self.holdings.mutex._is_owned():
            raise refused("interlock")
        if caller.stepping.coroutine >= 0:
            return run_steps(steps, self.call)
        # A signal handler calls this while its thread takes a coroutine's steps.
        number, caller.stepping.coroutine = caller.stepping.coroutine, 0
        try:
            return run_steps(steps, self.call)
        finally:
            caller.stepping.coroutine = number

    def call(self, *command: str | float) -> Any:
        """Send one command in one round trip, and return the reply. Raise an error that the server answers as ours."""
        try:
            return self.wire.call(*command)
        except (redis.ResponseError, redis.AuthenticationError) as error:
            raise refusals.ours(error) from error

    def resource(self, kind: str, name: str, permits: int = 1, ttl_ms: int | None = None) -> Resource:
        """Return what a primitive of that name is to this session's Redis."""
        return Resource(f"{self.prefix}interlock:{{{name}}}", name, kind, permits, ttl_ms)

    def checked(self) -> Steps[None]:
        """Look at the server, at first use."""
        return self.watch.checked()

    def leave(self, resource: Resource, owner: caller.Owner | None) -> Steps[Hold | None]:
        """End the section of the owner; without an owner, that of the caller, else another one of this process.

        Returns the hold under which it ran, or None if there was none. Raises as `Releasing.release`.
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

    # --- what the parts of the session report ---

    def _moved(self, wire: Wire) -> None:
        """Use this wire from here on: that to the server's Cluster, or the same as before if it is not in one."""
        self.wire = self.heartbeat.wire = wire
        self.inbox.move(wire)
        self.holdings.session = self.id

    def _on_grant(self, id: str, grant: Grant) -> None:
        self.inbox.on_grant(id, grant)

    def _on_asked(self, id: str, *, broken: bool) -> None:
        self.lingering.on_asked(id, broken=broken)

    # --- the end ---

    def end(self) -> None:
        """Have both threads end when they next look. If the client is no more, the heartbeat closes the session."""
        self.heartbeat.end()
        self.inbox.end()

    def close(self) -> None:
        """Give back what is held, and leave every queue: at a process's normal end, or when the client is no more."""
        self.end()
        self._on_close(self)
        holdings = self.holdings
        with holdings.mutex:
            holds, waits = list(holdings.holds.values()), list(holdings.waits.values())
            unsent = {hold.id: _finished(hold) for hold in holds}  # a section that has not ended stores nothing
            holdings.holds.clear()
            holdings.waits.clear()
            for wait in waits:  # first: what fails below must leave no thread asleep
                wait.signal.wake()
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
            except Exception as error:  # the other holds must be given back all the same
                log.warning("could not give back %r, its lease will run out: %s", hold.resource.name, described(error))
        for wait in waits:
            self._last(self.acquiring.leave(wait))
        for loss in self.lingering.untold():
            log.warning("lost, and nobody asked: %s", loss)

    def _vanish(self) -> None:
        """Close the session if its client is no more, and leave no thread or connection: the heartbeat's last act."""
        if not self.vanishing:
            return
        try:
            self.close()
        except Exception as error:  # no caller is left to tell
            log.info("a session whose client is no more was not closed: %s", described(error))
        finally:
            self.inbox.close()
            self.wire.close()

    def _last(self, steps: Steps[Any]) -> None:
        """Take steps as `run`, also for a signal handler amid bookkeeping: what it interrupts does not matter now."""
        run_steps(steps, self.call)


def _finished(hold: Hold) -> Mapping[Key, Any]:
    """Return what Redis is to store of a hold that ends with the process."""
    lingering_lock = lingering_with(hold)
    if lingering_lock is not None and lingering_lock.hold is hold:
        return lingering_lock.close()
    return hold.local_values.unsent(hold.running if hold.releaser is None else None)
