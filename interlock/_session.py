"""What one process has with one Redis: its identity, what it holds and waits for, and two threads.

The *heartbeat* renews leases and asks again for waiters; the *listener* reads grants. A session ends with its process:
a child made by fork begins one of its own, and its parent keeps what it had.

Why a published message carries the grant and not a list that the waiter blocks on: one connection a process however
many threads wait, no key is left behind, the server says at once when nobody listens, and it works across the slots of
a Redis Cluster. It may be lost; a waiter therefore asks again at least once a second. The price is a change of thread.
"""

import atexit
import itertools
import logging
import multiprocessing.util
import os
import socket
import threading
import time
import uuid
import warnings
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import redis

from interlock import _client, _scripts, address, caller
from interlock._listener import Listener, said
from interlock._scripts import Beat, Heard, Identity
from interlock._wire import UNANSWERED, Outbox, Wire
from interlock.errors import GoneError, InterlockError, LeaseLostError

REASK = 1.0  # seconds between two signs of life of a waiter; ALIVE_MS in attempt.lua allows three to be lost
CLAIM = 1.0  # seconds that a grant waits to be confirmed: CLAIM_MS in attempt.lua
MARGIN = 0.05  # seconds that a lease must have to run at least, for the caller to enter without asking again
BACKOFF = 0.2  # seconds until the next try when Redis does not answer
IDLE = 5.0  # seconds between two looks of an idle heartbeat at whether its client still exists
LISTEN_WITHIN = 5.0  # seconds for the first subscription
BEATS_MAX = 100  # names a round trip
ASKED_MAX = 5  # grants that came too late, until the lease is called too short
LOCKS = ("Lock", "RLock", "RWLock")  # kinds that a task must not keep beyond its end

Answer = TypeVar("Answer")
log = logging.getLogger("interlock")


@dataclass(eq=False)
class Hold:
    """One permit that this process has, as far as it knows. `session.mutex` guards its state."""

    of: Identity
    id: str
    token: int
    lease: float  # seconds
    deadline: float  # the end of the lease on time.monotonic(), never later than the server's
    owner: tuple[int, str | None]  # thread and task
    task: str  # the task's name, for people
    due: float  # when to renew, on time.monotonic()
    count: int = 1  # how often its owner, an RLock's, has acquired it
    releaser: int | None = None  # the thread that releases it: from then on it is not renewed, whatever the answer
    unanswered: bool = False  # that release got no answer: any thread may send it again
    gone: bool = False  # the server has said that it is lost
    writes: dict[str, tuple[str | dict[str, str], int | None]] = field(default_factory=dict)
    """What the release is to store: key -> what a value holds, or an array's elements by index, and its ttl in ms."""

    @property
    def lost(self) -> bool:
        """Whether the lease is over, as far as can be known without asking."""
        return self.gone or time.monotonic() >= self.deadline


@dataclass(eq=False)
class Wait:
    """One caller that waits for a permit."""

    of: Identity
    id: str
    lease_ms: int
    due: float
    arrival: int | None = None
    condition: str = ""  # the name of the Condition that it waits for, until it is notified
    sample: tuple[float, int] = (0.0, 0)  # the latest reading of the server's clock: (when we asked, what it answered)
    grant: tuple[int, int, float] | None = None  # token, end of the claim in server ms, when it was confirmed
    woken: threading.Lock = field(default_factory=threading.Lock)
    """Free when there is a grant. A lock and no Event: an exception raised by a signal handler inside an Event's Python
    code would leave it locked for ever."""


class Sleeper:
    """One caller that sleeps between two questions, until a message wakes it."""

    def __init__(self) -> None:
        self._woken = threading.Lock()  # no Event, as in Wait
        self._woken.acquire()

    def wake(self) -> None:
        """Let it ask at once; under the session's mutex."""
        if self._woken.locked():
            self._woken.release()

    def sleep(self, seconds: float) -> None:
        """Sleep so long at most, or until woken; woken before, not at all."""
        self._woken.acquire(timeout=seconds)


class Session:
    """One process's standing with one Redis."""

    def __init__(self, client: redis.Redis) -> None:
        self.wire = Wire(client)
        self.client = self.wire.client
        self.prefix = address.prefix()
        self.id = uuid.uuid4().hex[:12]
        self.mutex = threading.Lock()
        self.holds: dict[str, Hold] = {}
        self.waits: dict[str, Wait] = {}
        self.sleepers: dict[str, Sleeper] = {}
        self.lost: set[str] = set()  # state keys of what was lost, until it is acquired again
        self._numbers = itertools.count(1)
        self._slots: list[int] = []  # free ones; a slot has one attempt at a time
        self._slots_made = 0
        self._where = f"{socket.gethostname()}:{os.getpid()}"
        self._checked = False
        self._ended = False
        self._wake_at = 0.0
        self._pulse = threading.Condition(self.mutex)
        self._heartbeat: threading.Thread | None = None
        self._listener: Listener | None = None
        self._outbox = Outbox(self.wire)

    # --- what primitives call ---

    def identity(self, kind: str, name: str, permits: int = 1, ttl_ms: int | None = None) -> Identity:
        """What a primitive of that name is to this session's Redis."""
        return Identity(f"{self.prefix}interlock:{{{name}}}", name, kind, permits, ttl_ms)

    def new_id(self, mode: str = "") -> str:
        """The id of a new attempt: session / slot / number and mode, and for people host, process and task."""
        with self.mutex:
            if self._slots:
                slot = self._slots.pop()
            else:
                self._slots_made += 1
                slot = self._slots_made
            number = next(self._numbers)
        task = caller.current.get()
        label = f"{self._where} {task.name}[{task.id}]" if task else self._where
        return f"{self.id}/{slot}/{number}{mode} {label}"

    def end_id(self, id: str) -> None:
        """The attempt has ended, and the server knows: its slot is free. What got no answer keeps its slot."""
        with self.mutex:
            self._slots.append(slot_of(id))

    def acquire(self, of: Identity, *, lease: float, timeout: float | None) -> Hold | None:
        """Get a permit, or None when the time is over. `timeout` in seconds; None: no limit; 0: one try."""
        self.checked()
        until = None if timeout is None else time.monotonic() + timeout
        if timeout != 0:
            self._listen(LISTEN_WITHIN if timeout is None else min(timeout, LISTEN_WITHIN))
        wait = Wait(of, self.new_id(of.mode), round(lease * 1000), time.monotonic() + REASK)
        wait.woken.acquire()
        if timeout != 0:
            with self.mutex:
                self.waits[wait.id] = wait
        try:
            hold = self._try(wait, lease) if timeout == 0 else self._wait(wait, lease, until)
        except InterlockError:  # refused: there is no attempt to end
            with self.mutex:
                self.waits.pop(wait.id, None)
            raise
        except BaseException:
            with self.mutex:  # interrupted after it was entered: nobody will release it
                self.holds.pop(wait.id, None)
            self._leave(wait)
            raise
        if hold is None and timeout != 0:
            self._leave(wait)
        return hold

    def release(self, hold: Hold, *, quiet: bool = False) -> None:
        """Give up a lock with what was written under it. The hold comes from `take`.

        Raises:
            LeaseLostError: its lease is over; what was written is discarded.
            GoneError: a value that was written exists no longer; nothing was written.
        """
        try:
            code = _scripts.LOST
            if not hold.gone:
                code = _scripts.release(self.wire, hold.of, id=hold.id, token=hold.token, writes=hold.writes)
        except BaseException:
            hold.unanswered = True
            raise
        self.forget([hold], lost=code == _scripts.LOST)
        if code == _scripts.LOST and not quiet:
            raise LeaseLostError(lost_text(hold))
        if code == _scripts.GONE and not quiet:
            raise GoneError(gone_text(hold))

    def forget(self, holds: list[Hold], *, lost: bool) -> None:
        """These are no more, and the server knows."""
        for hold in holds:
            with self.mutex:
                self.holds.pop(hold.id, None)
                if lost:
                    self.lost.add(hold.of.state)
            self.end_id(hold.id)

    def my_hold(self, of: Identity, owner: tuple[int, str | None] | None = None) -> Hold | None:
        """What the owner holds of that name; with no owner given: the caller, else another of this process."""
        with self.mutex:
            return self._choose(of, owner, again=False)

    def surely_lost(self, hold: Hold) -> bool:
        """Whether the lease is over. If only our clock says so, ask: a late heartbeat is no lost lease."""
        if hold.lost and not hold.gone:
            sent = time.monotonic()
            (heard,) = _scripts.beat(self.wire, [Beat(hold.of, [(hold.id, hold.token, round(hold.lease * 1000))], [])])
            if not isinstance(heard, Heard):
                raise heard
            self._hear(sent, [hold], [], heard)
        return hold.lost

    def take(self, of: Identity, owner: tuple[int, str | None] | None = None, most: int = 1) -> list[Hold]:
        """What is to be released now: no other thread gets the same. Not renewed from here on.

        A release that got no answer may be taken again, and by its own thread also one that was interrupted before it.
        """
        taken: list[Hold] = []
        with self.mutex:
            while len(taken) < most and (hold := self._choose(of, owner, again=True, but=taken)):
                hold.releaser, hold.unanswered = threading.get_ident(), False
                hold.due = float("inf")
                taken.append(hold)
        return taken

    def untake(self, holds: list[Hold]) -> None:
        """Nothing came of the release: they are held as before."""
        with self.mutex:
            for hold in holds:
                hold.releaser = None
                hold.due = 0.0
            self._wake_by(0.0)

    def _choose(
        self, of: Identity, owner: tuple[int, str | None] | None, *, again: bool, but: Sequence[Hold] = ()
    ) -> Hold | None:
        me = threading.get_ident()
        mine = [
            hold
            for hold in self.holds.values()
            if (hold.of.state, hold.of.mode) == (of.state, of.mode)
            and (hold.releaser is None or (again and (hold.unanswered or hold.releaser == me)))
            and hold not in but
        ]
        own = [hold for hold in mine if hold.owner == (owner or caller.owner())]
        # what is held, before what is lost, before what was released but not answered; the owner's latest first
        candidates = own[::-1] if own or owner is not None else mine
        return min(candidates, key=lambda hold: (hold.releaser is not None, hold.gone), default=None)

    def answered(
        self, ask: Callable[[str], Answer | None], leave: Callable[[str], Answer | None], timeout: float | None
    ) -> Answer | None:
        """What Redis answers in the end, or None when the time is over.

        Args:
            ask: asks under an id, in one script that is safe to send twice; None: not yet, and the id is queued, so
                that a message wakes it. It is asked again at least every REASK seconds, as a sign of life.
            leave: takes the id off the queue; what it would have been answered, if that has come meanwhile.
            timeout: seconds; None: no limit; 0: one try.
        """
        self.checked()
        until = None if timeout is None else time.monotonic() + timeout
        if timeout != 0:
            self._listen(LISTEN_WITHIN if timeout is None else min(timeout, LISTEN_WITHIN))
        id, sleeper, queued = self.new_id(), Sleeper(), False
        with self.mutex:
            self.sleepers[id] = sleeper
        try:
            while True:
                answer, pause = None, REASK
                try:
                    answer = ask(id)
                    queued = True
                except UNANSWERED as error:
                    if not queued:
                        raise
                    log.warning("waiting on, though Redis does not answer: %s", said(error))
                    pause = BACKOFF
                left = REASK if until is None else until - time.monotonic()
                if answer is None and left <= 0:
                    answer = leave(id)
                    left, queued = 0, False
                if answer is not None or left <= 0:
                    self.end_id(id)
                    return answer
                sleeper.sleep(min(pause, left))
        except BaseException:  # interrupted, or refused
            if queued:
                self._leave_quietly(id, leave)
            raise
        finally:
            with self.mutex:
                self.sleepers.pop(id, None)

    def _leave_quietly(self, id: str, leave: Callable[[str], object]) -> None:
        try:
            leave(id)
        except UNANSWERED as error:  # its place lapses: nobody asks for it any more
            log.warning("could not leave a queue: %s", said(error))
        else:
            self.end_id(id)

    def wait_for_condition(self, hold: Hold, condition: str, timeout: float | None) -> tuple[Hold, bool]:
        """Release a lock, wait to be notified, and have it again: the new hold, and whether there was a notification.

        Raises:
            LeaseLostError: its lease was over; nobody waits, and the caller does not hold it.
            GoneError: a value that was written exists no longer; likewise.
        """
        of = hold.of
        until = None if timeout is None else time.monotonic() + timeout
        self._listen(LISTEN_WITHIN)
        wait = Wait(of, self.new_id(), round(hold.lease * 1000), time.monotonic() + REASK, condition=condition)
        wait.woken.acquire()
        with self.mutex:
            self.waits[wait.id] = wait
        try:
            self._release_and_wait(hold, wait)
        except BaseException:
            self._leave(wait)
            raise
        interruption: BaseException | None = None
        notified = True
        try:
            try:
                left = -1 if until is None else min(max(0.0, until - time.monotonic()), threading.TIMEOUT_MAX)
                if wait.woken.acquire(timeout=left):
                    wait.woken.release()
                    with self.mutex:
                        wait.condition, wait.arrival = "", None
                else:
                    notified = self._leave_condition(wait)
            except BaseException as error:  # as in threading, who is interrupted has the lock again
                interruption = error
                with self.mutex:
                    if wait.grant is not None and wait.woken.locked():  # it was taken, and then came the exception
                        wait.woken.release()
                self._leave_condition(wait)
            again = self._wait(wait, hold.lease, None)
        except BaseException:  # interrupted again, or refused: the lock is not held, and nobody waits
            with self.mutex:
                self.holds.pop(wait.id, None)
                wait.condition = condition
            self._leave(wait)
            raise
        assert again is not None
        again.count = hold.count
        if interruption is not None:
            raise interruption
        return again, notified

    def _release_and_wait(self, hold: Hold, wait: Wait) -> None:
        code = _scripts.LOST
        sent = time.monotonic()
        try:
            if not hold.gone:
                code, arrival, now_ms = _scripts.condition_wait(
                    self.wire, hold.of, id=hold.id, token=hold.token, writes=hold.writes, again=wait.id,
                    condition=wait.condition,
                )  # fmt: skip
        except BaseException:
            hold.unanswered = True
            raise
        self.forget([hold], lost=code == _scripts.LOST)
        if code == _scripts.LOST:
            raise LeaseLostError(lost_text(hold))
        if code == _scripts.GONE:
            raise GoneError(gone_text(hold))
        with self.mutex:
            wait.arrival, wait.sample = arrival, (sent, now_ms)
            self._wake_by(wait.due)

    def _leave_condition(self, wait: Wait) -> bool:
        """Queue for the lock, notified or not; whether it was."""
        while True:
            try:
                notified, arrival = _scripts.condition_leave(self.wire, wait.of, id=wait.id, condition=wait.condition)
            except UNANSWERED as error:
                log.warning("waiting on, though Redis does not answer: %s", said(error))
                time.sleep(BACKOFF)
                continue
            with self.mutex:
                wait.condition = ""
                wait.arrival = arrival if arrival is not None else wait.arrival
            return notified

    # --- a permit arrives ---

    def _ask(self, wait: Wait, *, blocking: bool) -> tuple[float, _scripts.Asked]:
        sent = time.monotonic()
        return sent, _scripts.acquire(
            self.wire, wait.of, id=wait.id, lease_ms=wait.lease_ms, wait=blocking, arrival=wait.arrival
        )

    def _try(self, wait: Wait, lease: float) -> Hold | None:
        for _ in range(ASKED_MAX):
            sent, asked = self._ask(wait, blocking=False)
            if asked.code != _scripts.GRANTED:
                self.end_id(wait.id)
                return None
            hold = self._enter(wait, asked.token, lease, sent + (asked.ms - asked.now_ms) / 1000)
            if hold is not None:
                return hold
        self._leave(wait)
        raise too_short(wait.of, lease)

    def _wait(self, wait: Wait, lease: float, until: float | None) -> Hold | None:
        late = 0
        while late < ASKED_MAX:
            asked = None
            try:
                if wait.grant is None:  # else a notified waiter of a Condition has it already
                    sent, asked = self._ask(wait, blocking=True)
            except UNANSWERED:
                if wait.arrival is None:
                    raise  # else it is in the queue already: the heartbeat asks again when Redis is back
            if asked and asked.code == _scripts.GRANTED:
                hold = self._enter(wait, asked.token, lease, sent + (asked.ms - asked.now_ms) / 1000)
                if hold is not None:
                    return hold
                late += 1
                continue
            if asked:
                with self.mutex:
                    wait.arrival, wait.sample = asked.token, (sent, asked.now_ms)
                    self._plan(wait, asked.ms)
            left = -1 if until is None else min(max(0.0, until - time.monotonic()), threading.TIMEOUT_MAX)
            if not wait.woken.acquire(timeout=left):
                with self.mutex:
                    if wait.grant is None:
                        return None
                    wait.woken.acquire()  # free: the grant came in the last moment
            with self.mutex:
                assert wait.grant is not None
                token, end, confirmed = wait.grant
                # the claim's end, or the end of the lease that the confirmation made of it, if that is sooner
                deadline = min(wait.sample[0] + (end - wait.sample[1]) / 1000, confirmed + lease)
                wait.grant = None
            hold = self._enter(wait, token, lease, deadline)
            if hold is not None:
                return hold
        self._leave(wait)
        raise too_short(wait.of, lease)

    def _enter(self, wait: Wait, token: int, lease: float, deadline: float) -> Hold | None:
        """The permit as this process has it from now on; None if its lease may be over already: then ask again."""
        now = time.monotonic()
        if now >= deadline - min(MARGIN, lease / 4):
            return None
        task = caller.current.get()
        label = f"{task.name}[{task.id}]" if task else ""
        due = now + (deadline - now) / 3
        hold = Hold(wait.of, wait.id, token, lease, deadline, caller.owner(), label, due)
        with self.mutex:
            self.waits.pop(wait.id, None)
            self.holds[wait.id] = hold
            self.lost.discard(wait.of.state)
            self._wake_by(due)
        return hold

    def _leave(self, wait: Wait) -> None:
        """The attempt ends without a permit; a grant that has come meanwhile is passed on."""
        with self.mutex:
            self.waits.pop(wait.id, None)
        try:
            _scripts.abandon(self.wire, wait.of, id=wait.id, condition=wait.condition)
        except (redis.RedisError, OSError) as error:  # its place lapses: nobody re-asks, or confirms a grant for it
            log.warning("could not leave the queue of %r: %s", wait.of.name, error)
        else:
            self.end_id(wait.id)

    # --- messages arrive ---

    def _listen(self, within: float) -> None:
        """Have messages heard. If that takes longer, go on: the next sign of life brings what nobody heard."""
        with self.mutex:
            if self._listener is None:
                self._listener = Listener(
                    self.client, f"{self.prefix}interlock:session:{self.id}", self._on_message, self._on_connection
                )
        self._listener.wait(within)

    def _on_connection(self) -> None:
        """Also after a reconnection: what was published meanwhile is lost."""
        _scripts.load_confirm(self.client)
        self._ask_now()
        with self.mutex:
            for sleeper in self.sleepers.values():
                sleeper.wake()

    def _on_message(self, message: str) -> None:
        token, end, id = message.split(" ", 2)
        if int(token):
            self._on_grant(id, int(token), int(end))
            return
        with self.mutex:
            sleeper = self.sleepers.get(id)
            if sleeper is not None:
                sleeper.wake()

    def _on_grant(self, id: str, token: int, end_ms: int) -> None:
        with self.mutex:
            wait = self.waits.get(id)
            if wait is None:
                return  # entered by another answer, or left: then its abandon passes the grant on
        if self._outbox.forgotten:
            self._outbox.forgotten = False
            _scripts.load_confirm(self.client)
        # At once, before the section and without awaiting the reply: later, a C call in the section may keep the GIL.
        confirmed = time.monotonic()
        self._outbox.send(_scripts.confirm_command(wait.of, id=id, token=token, lease_ms=wait.lease_ms))
        with self.mutex:
            if wait.grant is None and wait.id in self.waits:
                wait.woken.release()
            if wait.grant is None or wait.grant[0] != token:  # else the server counts from the first confirmation
                wait.grant = token, end_ms, confirmed

    # --- the heartbeat ---

    def _ask_now(self) -> None:
        with self.mutex:
            for wait in self.waits.values():
                wait.due = 0.0
            if self.waits:
                self._wake_by(0.0)

    def _plan(self, wait: Wait, soonest_ms: int) -> None:
        """When this waiter asks again: when a lease ends, but within REASK. Under the mutex."""
        ahead = REASK if soonest_ms < 0 else min(REASK, soonest_ms / 1000 + 0.002)
        wait.due = time.monotonic() + ahead
        self._wake_by(wait.due)

    def _wake_by(self, due: float) -> None:
        """Let the heartbeat run at that time at the latest. Under the mutex."""
        if self._heartbeat is None:
            thread = threading.Thread(target=self._run_heartbeat, name="interlock-heartbeat", daemon=True)
            thread.start()
            self._heartbeat = thread
        if due < self._wake_at:
            self._wake_at = due
            self._pulse.notify()

    def _run_heartbeat(self) -> None:
        while not self._ended:
            with self.mutex:
                self._wake_at = min((item.due for item in self._items()), default=float("inf"))
                ahead = self._wake_at - time.monotonic()
                if ahead > 0:
                    self._pulse.wait(min(ahead, IDLE))
                    continue
            try:
                self._beat()
            except Exception as error:  # whatever it is: leases depend on this thread, so it tries again
                log.warning("no heartbeat to %s, trying again: %s", _client.where(self.client), said(error))
                time.sleep(BACKOFF)
        self.close()

    def _items(self) -> list[Hold | Wait]:
        return [*self.holds.values(), *self.waits.values()]

    def _beat(self) -> None:
        now = time.monotonic()
        with self.mutex:
            due = {item.of.state for item in self._items() if item.due <= now}
            holds = [hold for hold in self.holds.values() if hold.of.state in due and hold.releaser is None]
            waits = [wait for wait in self.waits.values() if wait.of.state in due]
            for wait in waits:  # an acquire under way asks by itself
                wait.due = now + REASK
        waits = [wait for wait in waits if wait.arrival is not None]
        requests = []
        names = {hold.of.state: hold.of for hold in holds} | {wait.of.state: wait.of for wait in waits}
        for of in names.values():
            ours = [hold for hold in holds if hold.of.state == of.state]
            theirs = [wait for wait in waits if wait.of.state == of.state]
            requests.append((of, ours, theirs))
        for first in range(0, len(requests), BEATS_MAX):
            batch = requests[first : first + BEATS_MAX]
            beats = [
                Beat(
                    of,
                    [(hold.id, hold.token, round(hold.lease * 1000)) for hold in ours],
                    [(wait.id, wait.arrival or 0, wait.condition) for wait in theirs],
                )
                for of, ours, theirs in batch
            ]
            sent = time.monotonic()
            for (of, ours, theirs), heard in zip(batch, _scripts.beat(self.wire, beats), strict=True):
                if isinstance(heard, Heard):
                    self._hear(sent, ours, theirs, heard)
                else:
                    log.warning("no heartbeat for %r, trying again: %s", of.name, heard)
                    self._postpone([*ours, *theirs])

    def _postpone(self, items: list[Hold | Wait]) -> None:
        with self.mutex:
            for item in items:
                item.due = time.monotonic() + BACKOFF

    def _hear(self, sent: float, holds: list[Hold], waits: list[Wait], heard: Heard) -> None:
        granted = []
        with self.mutex:
            for hold, end_ms in zip(holds, heard.ends_ms, strict=True):
                if hold.id not in self.holds or hold.releaser is not None:
                    continue  # being released: that answer counts, not this one
                if end_ms > 0:
                    hold.deadline = sent + (end_ms - heard.now_ms) / 1000
                    hold.due = time.monotonic() + hold.lease / 3
                else:
                    hold.gone = True
                    hold.due = float("inf")
                    if end_ms == 0:
                        self.lost.add(hold.of.state)  # it stays here until its owner releases it, and is told
                    else:
                        del self.holds[hold.id]
                        self._slots.append(slot_of(hold.id))
            for wait, grant in zip(waits, heard.grants, strict=True):
                if wait.id not in self.waits:
                    continue
                wait.sample = sent, heard.now_ms
                if grant and wait.grant is None:
                    granted.append((wait.id, *grant))
                self._plan(wait, heard.soonest_ms)
        for id, token, end_ms in granted:
            self._on_grant(id, token, end_ms)

    # --- beginnings and ends ---

    def checked(self) -> "Session":
        """Itself, after a look at the server at first use."""
        if not self._checked:
            _client.check_server(self.client)
            self._checked = True
        return self

    def close(self) -> None:
        """At the normal end of a process, or when its client is no more: give back what is held, leave every queue."""
        self._ended = True
        if self._listener is not None:
            self._listener.ended = True
        with self.mutex:
            holds, waits = list(self.holds.values()), list(self.waits.values())
            self.holds.clear()
            self.waits.clear()
        for hold in holds:
            try:
                self.release(hold, quiet=True)
            except UNANSWERED as error:
                log.warning("%d holds could not be given back, their leases will run out: %s", len(holds), said(error))
                return
            except Exception as error:  # the others must be given back all the same
                log.warning("could not give back %r, its lease will run out: %s", hold.of.name, said(error))
        for wait in waits:
            self._leave(wait)


def slot_of(id: str) -> int:
    """The slot in an id: session / slot / number label."""
    return int(id.split("/", 2)[1])


def too_short(of: Identity, lease: float) -> InterlockError:
    """A lease that is always over before the caller hears of it."""
    return InterlockError(
        f"the lease of {of.kind} {of.name!r}, {lease:g} s, is over before its grant arrives: "
        "lease must be longer than three round trips"
    )


def lost_text(hold: Hold) -> str:
    """One line: which lease was lost, and what to do."""
    return (
        f"the lease of {hold.of.kind} {hold.of.name!r} (token {hold.token}) is over: what was written under "
        "it is discarded; acquire it again, with a longer lease if this process was only slow"
    )


def gone_text(hold: Hold) -> str:
    """One line: a lock was given up, but what was written under it could not be stored."""
    return f"released {hold.of.name!r}, but what was written under it is lost: a value exists no longer"


_sessions: weakref.WeakKeyDictionary[redis.Redis, Session] = weakref.WeakKeyDictionary()
_sessions_mutex = threading.Lock()


def session(client: redis.Redis | None) -> Session:
    """The session of this process with the Redis of that client, or with that of `REDIS_URL`."""
    chosen = client if client is not None else _client.default_client()
    found = _sessions.get(chosen)
    if found is None:
        with _sessions_mutex:
            if not _sessions:
                _close_at_exit()
            found = _sessions.get(chosen)
            if found is None:
                found = _sessions[chosen] = Session(chosen)
                weakref.finalize(chosen, _end, found, os.getpid()).atexit = False  # then close does it
    return found


def _end(session: Session, process: int) -> None:
    """The client is no more, nor any primitive that used it. Called amid garbage collection: takes no lock."""
    if process == os.getpid():
        session._ended = True
        if session._listener is not None:
            session._listener.ended = True


def _close_at_exit() -> None:
    """Children of multiprocessing skip atexit but run their finalizers."""
    multiprocessing.util.Finalize(None, close, exitpriority=0)


def release_owned() -> list[Exception]:
    """Releases the locks that the running task holds, with a warning for each; what went wrong, one by one."""
    owner = caller.owner()
    errors: list[Exception] = []
    for each in list(_sessions.values()):
        with each.mutex:
            left = [hold.of for hold in each.holds.values() if hold.owner == owner and hold.of.kind in LOCKS]
        for of in left:
            for hold in each.take(of, owner):
                text = f"the task {hold.task} ended holding the {of.kind} {of.name!r}: released"
                warnings.warn(text, ResourceWarning, stacklevel=3)
                log.warning(text)
                try:
                    each.release(hold)
                except Exception as error:  # the others must be released all the same
                    errors.append(error)
    return errors


def _forget_after_fork() -> None:
    """In a child: no session, no leases, no unsent writes. No network call here."""
    global _sessions_mutex
    _sessions.clear()
    _sessions_mutex = _client.making = threading.Lock()


def close() -> None:
    """Give back all that this process holds, and leave every queue: the last call before a process ends.

    A process that ends in order does it by itself. Call it where one ends by `os._exit`, as Celery's pool processes do.
    """
    with _sessions_mutex:
        ended = list(_sessions.values())
        _sessions.clear()  # who comes later begins anew
    for each in ended:
        each.close()


os.register_at_fork(after_in_child=_forget_after_fork)
atexit.register(close)
