"""The thread that renews a process's leases, and asks again for the process's waiters.

It is a thread also for coroutines: an event loop that is busy for longer than a lease would lose the lease.
"""

import logging
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress

import redis

from interlock._holding.holdings import Grant, Hold, Holdings, Wait, abandoned_text
from interlock._holding.lingering_lock import LingeringLock
from interlock._holding.mutex import OnceStarted
from interlock._io.steps import BACKOFF
from interlock._io.wire import Wire
from interlock._protocol import scripts
from interlock._protocol.scripts import Beat, Heard
from interlock._session import clients
from interlock._session.registry import Registry
from interlock._text import described

REASK = 1.0  # seconds between two signs of life for a waiter; ALIVE_MS in attempt.lua allows three to be lost
IDLE_BEAT = 5.0  # seconds between two looks of an idle heartbeat at whether its client still exists
BEATS_MAX = 100  # names of locks in one round trip

log = logging.getLogger("interlock")


class Heartbeat:
    """Renews all holds, and asks again for all waits, each when it is due, until `ended` is true.

    Args:
        wire: to Redis.
        holdings: the holds and waits; their mutex guards the heartbeat's state, too.
        granted: called with an id and its grant when Redis answers a sign of life with a grant.
        reconnected: called before the next beat when a connection was lost: to look at the server that answers again.
        done: called by the thread when it ends.
        registry: the names that the process uses.
        tell: called when the registry is to tell Redis of them.
    """

    def __init__(
        self,
        wire: Wire,
        holdings: Holdings,
        granted: Callable[[str, Grant], None],
        reconnected: Callable[[], None],
        done: Callable[[], None],
        registry: Registry,
        tell: Callable[[], None],
    ) -> None:
        self.ended = False
        self.wire, self._holdings = wire, holdings
        self._granted, self._reconnected, self._done = granted, reconnected, done
        self._registry, self._tell = registry, tell
        self.lingering_locks: Callable[[], list[LingeringLock]] = list  # returns the locks that linger
        self.look: Callable[[LingeringLock], None] = lambda _: None  # looks at a lingering lock that is due
        self.look_at_loops: Callable[[], None] = lambda: None  # looks for event loops that were closed
        self._pulse = threading.Condition(holdings.mutex)
        self._wake_at = 0.0
        self._thread = OnceStarted(self._run, "interlock-heartbeat")

    @property
    def began(self) -> bool:
        """Whether the thread was started: there has been a hold or a wait to speak for."""
        return self._thread.started

    def begin(self) -> None:
        """Start the thread if need be: there will be a hold or a wait. Do not call it under the mutex."""
        if not self._thread.started:
            self._thread.start()

    def note(self, name: str, condition: str = "") -> None:
        """Note a name that this process uses, for Redis to know. Do not call it under the mutex."""
        due = self._registry.note(name, condition)
        if due is not None:
            with self._holdings.mutex:
                self.wake_by(due)

    def wake_by(self, due: float) -> None:
        """Have the thread beat at that time at the latest. Call it under the mutex."""
        if due < self._wake_at:
            self._wake_at = due
            self._pulse.notify()

    def end(self) -> None:
        """End the thread now. The garbage collector may call this: no thread waits under the mutex that it takes."""
        with self._holdings.mutex:
            self.ended = True
            self._pulse.notify()

    def plan(self, wait: Wait, soonest_ms: int) -> None:
        """Set when to ask again for this waiter: when a lease ends, but within REASK. Call it under the mutex.

        Args:
            wait: the waiter.
            soonest_ms: ms until a lease ends; below 0: nobody holds one.
        """
        ahead = REASK if soonest_ms < 0 else min(REASK, soonest_ms / 1000 + 0.002)
        wait.due = time.monotonic() + ahead
        self.wake_by(wait.due)

    def ask_now(self) -> None:
        """Ask at once for all waiters."""
        holdings = self._holdings
        with holdings.mutex:
            for wait in holdings.waits.values():
                wait.due = 0.0
            if holdings.waits:
                self.wake_by(0.0)

    def _run(self) -> None:
        while not self.ended:
            try:
                self.look_at_loops()
                with self._holdings.mutex:
                    self._wake_at = min((item.due for item in self._due()), default=float("inf"))
                    self._wake_at = min(self._wake_at, self._registry.due)
                    ahead = self._wake_at - time.monotonic()
                    if ahead > 0 and not self.ended:
                        self._pulse.wait(min(ahead, IDLE_BEAT))
                        continue
                if self.wire.cut:
                    self._reconnected()
                self._beat()
                for lingering_lock in self.lingering_locks():
                    if lingering_lock.due <= time.monotonic():
                        self.look(lingering_lock)
                if self._registry.due <= time.monotonic():
                    self._tell()
            except Exception as error:  # whatever it is: leases depend on this thread, so it tries again
                log.warning("no heartbeat to %s, trying again: %s", clients.where(self.wire), described(error))
                self.wire.cut = True
                time.sleep(BACKOFF)
        self._done()

    def _due(self) -> list[Hold | Wait | LingeringLock]:
        return [*self._items(), *self.lingering_locks()]

    def _items(self) -> list[Hold | Wait]:
        return [*self._holdings.holds.values(), *self._holdings.waits.values()]

    def _beat(self) -> None:
        now = time.monotonic()
        holdings = self._holdings
        with holdings.mutex:
            due = {item.resource.state for item in self._items() if item.due <= now}
            holds = [hold for hold in holdings.holds.values() if hold.resource.state in due and hold.releaser is None]
            over = [hold for hold in holds if hold.abandoned and hold.lost]
            holds = [hold for hold in holds if not hold.abandoned]
            abandoned = holdings.abandon(holds)
            holds = [hold for hold in holds if not hold.abandoned]
            waits = [wait for wait in holdings.waits.values() if wait.resource.state in due]
            for wait in waits:  # also those without an arrival: their acquire is under way, and asks by itself
                wait.due = now + max(REASK, holdings.quiet(wait.lease))
            waits = [wait for wait in waits if holdings.quiet(wait.lease) <= 0]
        self._forget(over)
        for hold in abandoned:
            self._warn(hold)
        waits = [wait for wait in waits if wait.arrival is not None]
        requests = []
        names = {hold.resource.state: hold.resource for hold in holds} | {
            wait.resource.state: wait.resource for wait in waits
        }
        for resource in names.values():
            ours = [hold for hold in holds if hold.resource.state == resource.state]
            theirs = [wait for wait in waits if wait.resource.state == resource.state]
            requests.append((resource, ours, theirs))
        for first in range(0, len(requests), BEATS_MAX):
            batch = requests[first : first + BEATS_MAX]
            beats = [beat(resource, ours, theirs) for resource, ours, theirs in batch]
            sent = time.monotonic()
            for (resource, ours, theirs), heard in zip(batch, scripts.beats(self.wire, beats), strict=True):
                if isinstance(heard, redis.RedisError):
                    log.warning("no heartbeat for %r, trying again: %s", resource.name, heard)
                    self._postpone([*ours, *theirs])
                else:
                    self.hear(sent, ours, theirs, heard)

    def _forget(self, over: list[Hold]) -> None:
        """Drop abandoned holds whose leases are over: no object could release them."""
        for hold in over:
            lingering_lock = hold.lingering_lock
            if lingering_lock is not None:
                with self._holdings.mutex:
                    lingering_lock.end()
                lingering_lock.turns.end_turn(lingering_lock.turns.thread)
        self._holdings.forget(over, lost=True)

    def _warn(self, hold: Hold) -> None:
        text = abandoned_text(hold)
        log.warning(text)
        with suppress(ResourceWarning):  # a program may make warnings errors: leases depend on this thread
            warnings.warn(text, ResourceWarning, stacklevel=2)

    def _postpone(self, items: list[Hold | Wait]) -> None:
        with self._holdings.mutex:
            for item in items:
                item.due = time.monotonic() + BACKOFF

    def hear(self, sent: float, holds: list[Hold], waits: list[Wait], heard: Heard) -> None:
        """Take in the answer to a beat that the caller sent at that time, on time.monotonic()."""
        granted, ended = [], []
        holdings = self._holdings
        with holdings.mutex:
            for hold, end_ms in zip(holds, heard.ends_ms, strict=True):
                if hold.id not in holdings.holds or hold.releaser is not None:
                    continue  # a caller releases it: the answer to that counts, not this one
                if end_ms > 0:
                    hold.deadline = sent + (end_ms - heard.now_ms) / 1000
                    hold.due = time.monotonic() + hold.lease / 3
                else:
                    hold.gone = True
                    hold.due = float("inf")
                if hold.lingering_lock is not None:
                    hold.lingering_lock.renewed()
                    if heard.waiting:
                        self.wake_by(hold.lingering_lock.ask())
                if not hold.gone:
                    continue
                if end_ms == 0:  # it stays here until its owner releases it, and gets the error
                    holdings.lost.add((hold.resource.state, hold.resource.mode))
                else:
                    ended.append(hold)
            for wait, grant in zip(waits, heard.grants, strict=True):
                if wait.id not in holdings.waits:
                    continue
                wait.sample = sent, heard.now_ms
                if grant and wait.grant is None:
                    granted.append((wait.id, Grant(*grant)))
                self.plan(wait, heard.soonest_ms)
        holdings.forget(ended, lost=False)
        for id, answer in granted:
            self._granted(id, answer)


def beat(resource: scripts.Resource, holds: list[Hold], waits: list[Wait]) -> Beat:
    """Return what the heartbeat says to Redis of one name."""
    return Beat(
        resource,
        [(hold.id, hold.token, round(hold.lease * 1000)) for hold in holds],
        [(wait.id, wait.arrival or 0, wait.condition) for wait in waits],
    )
