"""What one process has with one Redis: its identity, what it holds and waits for, and two threads.

The *heartbeat* renews leases and asks again for waiters; the *listener* reads grants. A session ends with its process:
a child made by fork begins one of its own, and its parent keeps what it had.

Why a published message carries the grant and not a list that the waiter blocks on: one connection a process however
many threads wait, no key is left behind, the server says at once when nobody listens, and it works across the slots of
a Redis Cluster. It may be lost; a waiter therefore asks again at least once a second. The price is a change of thread.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import redis

from interlock import address, caller
from interlock._holding.holdings import Grant, Hold, Standing, Wait, gone_text, lost_text, unanswered_text
from interlock._holding.lingering import Lingering
from interlock._holding.lingering_lock import Station, lingering_with
from interlock._holding.local_values import Key
from interlock._holding.mutex import check_may_wait, refused
from interlock._io import refusals
from interlock._io.cluster import wire_for
from interlock._io.steps import BACKOFF, Blocking, Rest, Signal, Steps, patiently, pause
from interlock._io.steps import run as run_steps
from interlock._io.wire import UNANSWERED, Client, Outbox
from interlock._protocol import scripts
from interlock._protocol.scripts import Identity, Writes
from interlock._session import clients
from interlock._session.heartbeat import REASK, Heartbeat, beat
from interlock._session.listener import Listener
from interlock._text import described
from interlock.errors import GoneError, InterlockError, LeaseLostError, UnreachableError

CLAIM = 1.0  # seconds that a grant waits to be confirmed: CLAIM_MS in attempt.lua
MARGIN = 0.05  # seconds that a lease must have to run at least, for the caller to enter without asking again
LISTEN_WITHIN = 5.0  # seconds for the first subscription
OPEN_WITHIN = 1.0  # seconds that a waiter must have left to open the connection for its confirmation: some round trips
ASKED_MAX = 5  # grants that came too late, until the lease is called too short
WAKE, ASKED, BROKEN = "0", "-1", "-2"  # messages in place of a token: tell in attempt.lua

Answer = TypeVar("Answer")
log = logging.getLogger("interlock")


class Session:
    """One process's standing with one Redis."""

    def __init__(self, client: Client, on_close: Callable[["Session"], None] = lambda _: None) -> None:
        self._on_close = on_close
        self.vanishing = False  # its client is no more
        self.wire = wire_for(client)
        self._given = clients.given(client)
        self.prefix = address.prefix()
        self._id = uuid.uuid4().hex[:12]
        self.standing = Standing(self.id)
        self.heartbeat = Heartbeat(self.wire, self.standing, self._on_grant, self._look_at_runs, self._vanish)
        self.lingering = Lingering(self, self.heartbeat.wake_by)
        self.heartbeat.stations, self.heartbeat.look = self.lingering.all, self.lingering.look
        self.round_trip = 0.0  # seconds, as measured
        self._checked = False
        self._checking = threading.RLock()  # a signal handler may come amid the check
        self._looking: set[object] = set()  # threads that look whether a server was restarted, after a lost connection
        self._runs: frozenset[str] = frozenset()  # of the servers' processes
        self._listener: Listener | None = None
        self._outbox = Outbox(self.wire)

    @property
    def id(self) -> str:
        """What ids of its attempts begin with. It is told apart by its end if this is a Cluster's."""
        return self._id + self.wire.mark

    @property
    def client(self) -> Client:
        """A client of its own, for what is rare."""
        return self.wire.client

    # --- what primitives call ---

    def run(self, steps: Steps[Answer]) -> Answer:
        """Take the steps of a procedure, blocking this thread.

        Raises:
            ReentryError: the caller interrupts its own thread amid bookkeeping (`_holding/mutex.py`); it took no step.
        """
        if self.standing.mutex._is_owned():
            raise refused("interlock")
        if caller.stepping.coroutine >= 0:
            return run_steps(steps, self.call)
        number, caller.stepping.coroutine = caller.stepping.coroutine, 0  # a signal handler, amid a coroutine's steps
        try:
            return run_steps(steps, self.call)
        finally:
            caller.stepping.coroutine = number

    def untake(self, holds: Iterable[Hold]) -> None:
        """Nothing came of the release: they are held as before."""
        with self.standing.mutex:
            for hold in holds:
                hold.releaser = None
                hold.due = 0.0
            self.heartbeat.wake_by(0.0)

    def identity(self, kind: str, name: str, permits: int = 1, ttl_ms: int | None = None) -> Identity:
        """What a primitive of that name is to this session's Redis."""
        return Identity(f"{self.prefix}interlock:{{{name}}}", name, kind, permits, ttl_ms)

    def checked(self) -> Steps[None]:
        """Look at the server, at first use."""
        if not self._checked:
            yield Blocking(self._check)

    def _check(self) -> None:
        with self._checking:
            if not self._checked:
                wire = clients.checked(self.wire, given=self._given)  # another one, if it is a Cluster's
                self.wire = self.heartbeat.wire = wire
                self._outbox = Outbox(self.wire)
                self._runs = clients.runs(self.wire)
                self.standing.session = self.id
                self._checked = True

    def _look_at_runs(self) -> None:
        """After a lost connection: a server that was restarted, or replaced, may have forgotten grants."""
        me = object()
        if self.wire.cut:  # else another one looks, and this one wants to know what it finds
            self._looking.add(me)  # first: see `_doubtful`
        try:
            self.wire.cut = False
            try:
                found = clients.runs(self.wire)
            except BaseException:
                self.wire.cut = True
                raise
            with self.standing.mutex:
                restarted = found != self._runs
                if restarted:
                    self._runs, self.standing.restarted = found, time.monotonic()
            if restarted:
                log.warning("%s was restarted: for one lease, nobody here asks for a lock", clients.where(self.wire))
        finally:
            self._looking.discard(me)

    @property
    def _doubtful(self) -> bool:
        """Whether a server may have been restarted: a connection was lost, or somebody looks at that moment."""
        return self.wire.cut or bool(self._looking)

    def call(self, *command: str | float) -> Any:
        """One command, one round trip. What a server answers as an error is raised as ours."""
        try:
            return self.wire.call(*command)
        except (redis.ResponseError, redis.AuthenticationError) as error:
            raise refusals.ours(error) from error

    def acquire(
        self,
        of: Identity,
        *,
        lease: float,
        timeout: float | None,
        station: Station | None = None,
        wants: str = "",
    ) -> Steps[Hold | None]:
        """Get a permit, or None when the time is over.

        Args:
            of: of what.
            lease: seconds.
            timeout: seconds; None: no limit; 0: one try.
            station: that is to linger with it.
            wants: the values that are to come with the grant: `Copies.wanted`.
        """
        if timeout != 0:
            check_may_wait(f"{of.kind} {of.name!r}")
        yield from self.checked()
        self.heartbeat.begin()
        until = None if timeout is None else time.monotonic() + timeout
        while (yield from self._calm(lease, until)):
            left = None if until is None else 0 if timeout == 0 else max(0.001, until - time.monotonic())
            hold = yield from self._acquire(of, lease, left, station, wants)
            if hold is not None and self._doubtful:
                yield Blocking(self._look_at_runs)
            if hold is None or self.standing.quiet(lease) <= 0:
                return hold
            if station is not None:  # it was granted by a server that may have forgotten who holds it
                with self.standing.mutex:
                    station.end()
            self.standing.taken(hold)
            yield from self.release(hold)
        return None

    def _calm(self, lease: float, until: float | None) -> Steps[bool]:
        """Wait as long as Redis may have forgotten who holds a lock; whether that is over in time."""
        if self._doubtful:
            yield Blocking(self._look_at_runs)
        while (quiet := self.standing.quiet(lease)) > 0:
            left = quiet if until is None else min(quiet, until - time.monotonic())
            if left <= 0:
                return False
            yield pause(left)
        return True

    def _acquire(
        self, of: Identity, lease: float, timeout: float | None, station: Station | None, wants: str
    ) -> Steps[Hold | None]:
        standing = self.standing
        until = None if timeout is None else time.monotonic() + timeout
        if timeout != 0 or station is not None:  # who lingers hears that it is asked
            yield from self._listen(timeout)
        mode = of.mode if station is None else f"l{round(lease * 1000)}"
        wait = Wait(of, standing.new_id(mode), lease, time.monotonic() + REASK, station=station, wants=wants)
        if timeout != 0:
            with standing.mutex:
                standing.waits[wait.id] = wait
        try:
            hold = yield from self._try(wait) if timeout == 0 else self._wait(wait, until)
        except InterlockError:  # refused: there is no attempt to end
            with standing.mutex:
                standing.waits.pop(wait.id, None)
            raise
        except BaseException:
            with standing.mutex:  # interrupted after it was entered: nobody will release it
                entered = standing.holds.pop(wait.id, None)
                if station is not None and entered is not None:
                    station.end()
            yield from self._leave(wait)
            raise
        if hold is None and timeout != 0:
            yield from self._leave(wait)
        return hold

    def leave(self, of: Identity, owner: caller.Owner | None) -> Steps[Hold | None]:
        """The section of the owner ends, with no owner given that of the caller or another; under what it ran, if any.

        Raises as `release`.
        """
        hold = self.standing.mine(of, owner)
        station = None if hold is None else lingering_with(hold)
        if station is not None:
            yield from self.lingering.leave(station)
            return hold
        taken = self.standing.take(of, owner)
        if taken:
            yield from self.release(taken[0])
        return taken[0] if taken else None

    def release(
        self, hold: Hold, unsent: Mapping[Key, Any] | None = None, *, until: float | None = None
    ) -> Steps[None]:
        """Give up a lock with what was written under it; None: all of it. The hold comes from `take`.

        If Redis does not answer it is asked again until that time, on time.monotonic(); None: to the end of the lease.

        Raises:
            LeaseLostError: its lease is over; what was written is discarded.
            GoneError: a value that was written exists no longer; nothing was written.
            UnreachableError: Redis did not answer until the lease was over.
        """
        code = scripts.LOST
        writes = self._writes(hold, unsent)
        try:
            if not hold.gone:
                asked = lambda: scripts.release(  # noqa: E731
                    hold.of, id=hold.id, token=hold.token, last_token=hold.last_token, writes=writes
                )
                code = yield from patiently(asked, hold.deadline if until is None else until, hold.note_refusal)
        except UNANSWERED as error:
            hold.unanswered = True
            raise UnreachableError(unanswered_text(hold, error)) from error
        except BaseException:
            hold.unanswered = True
            raise
        self._ended(hold, code)

    def store(self, hold: Hold, *, until: float | None = None) -> Steps[None]:
        """Have what was written under a hold stored, of which the caller's own thread, interrupted, is amid `release`.

        The request is the same, and is sent twice: who is interrupted does the rest.

        Raises:
            LeaseLostError, GoneError: what was written is discarded.
        """
        code = yield from patiently(
            partial(scripts.release, hold.of, id=hold.id, token=hold.token, last_token=hold.last_token,
                    writes=self._writes(hold)),
            hold.deadline if until is None else until,
        )  # fmt: skip
        if code == scripts.LOST:
            raise LeaseLostError(lost_text(hold))
        if code == scripts.GONE:
            raise GoneError(gone_text(hold))

    def _writes(self, hold: Hold, unsent: Mapping[Key, Any] | None = None) -> Writes:
        """What is to be stored with the end of a hold."""
        return hold.copies.encoded(hold.of.state, hold.copies.unsent(None) if unsent is None else unsent)

    def _ended(self, hold: Hold, code: int) -> None:
        """A lock was given up, and this is what the server said."""
        self.standing.forget([hold], lost=code == scripts.LOST)
        if code == scripts.LOST:
            raise LeaseLostError(lost_text(hold))
        if code == scripts.GONE:
            raise GoneError(gone_text(hold))

    def surely_lost(self, hold: Hold) -> Steps[bool]:
        """Whether the lease is over. If only our clock says so, ask: a late heartbeat is no lost lease."""
        if hold.lost and not hold.gone:
            sent = time.monotonic()
            heard = yield from scripts.beat(beat(hold.of, [hold], []))
            self.heartbeat.hear(sent, [hold], [], heard)
        return hold.lost

    def answered(
        self,
        ask: Callable[[str], Steps[Answer | None]],
        leave: Callable[[str], Steps[Answer | None]],
        timeout: float | None,
        undo: Callable[[str], Steps[object]] | None = None,
    ) -> Steps[Answer | None]:
        """What Redis answers in the end, or None when the time is over.

        Args:
            ask: asks under an id, in one script that is safe to send twice; None: not yet, and the id is queued, so
                that a message wakes it. It is asked again at least every REASK seconds, as a sign of life.
            leave: takes the id off the queue; what it would have been answered, if that has come meanwhile.
            timeout: seconds; None: no limit; 0: one try.
            undo: takes an id off the queue whose caller was interrupted, and takes back what it was answered; None:
                `leave` does.
        """
        if timeout != 0:
            check_may_wait("what waits")
        yield from self.checked()
        standing = self.standing
        until = None if timeout is None else time.monotonic() + timeout
        if timeout != 0:
            self.heartbeat.begin()  # which ends the listener, when the client is no more
            yield from self._listen(timeout)
        id, signal, queued = standing.new_id(), Signal(), False
        with standing.mutex:
            standing.sleepers[id] = signal
        try:
            while True:
                answer, rest = None, REASK
                try:
                    answer = yield from ask(id)
                    queued = True
                except UNANSWERED as error:
                    if not queued:
                        raise
                    log.warning("waiting on, though Redis does not answer: %s", described(error))
                    rest = BACKOFF
                left = REASK if until is None else until - time.monotonic()
                if answer is None and left <= 0:
                    answer = yield from leave(id)
                    left = 0
                if answer is not None or left <= 0:
                    standing.end_id(id)
                    return answer
                yield Rest(signal, min(rest, left))
        except InterlockError:  # refused: there is nothing to leave
            raise
        except BaseException:  # interrupted, perhaps on the way: it may be queued
            yield from self._leave_quietly(id, undo or leave)
            raise
        finally:
            with standing.mutex:
                standing.sleepers.pop(id, None)

    def _leave_quietly(self, id: str, leave: Callable[[str], Steps[object]]) -> Steps[None]:
        try:
            yield from leave(id)
        except (redis.RedisError, OSError) as error:  # its place lapses: nobody asks for it any more
            log.warning("could not leave a queue: %s", described(error))
        else:
            self.standing.end_id(id)

    def wait_for_condition(
        self, of: Identity, owner: caller.Owner, condition: str, timeout: float | None
    ) -> Steps[bool]:
        """Release a lock that the owner holds, wait for a notification, have it again; whether there was one.

        Raises:
            LeaseLostError: its lease was over; nobody waits, and the caller does not hold it.
            GoneError: a value that was written exists no longer; likewise.
        """
        check_may_wait(f"the Condition {condition!r}")
        standing = self.standing
        until = None if timeout is None else time.monotonic() + timeout
        yield from self._listen(timeout)
        held = standing.mine(of, owner)
        if held is not None:
            yield from self.lingering.before_detach(held)
            self.lingering.detach(held)
        (hold,) = standing.take(of, owner)
        wait = Wait(of, standing.new_id(), hold.lease, time.monotonic() + REASK, condition=condition)
        with standing.mutex:
            standing.waits[wait.id] = wait
        try:
            yield from self._release_and_wait(hold, wait)
        except BaseException:
            yield from self._leave(wait)
            raise
        interruption: BaseException | None = None
        notified = True
        try:
            try:
                left = None if until is None else until - time.monotonic()
                if self.heartbeat.ended or (yield Rest(wait.signal, left)):
                    with standing.mutex:
                        wait.signal.wake()
                        wait.condition, wait.arrival = "", None
                else:
                    notified = yield from self._leave_condition(wait)
            except BaseException as error:  # as in threading, who is interrupted has the lock again
                interruption = error
                with standing.mutex:
                    if wait.grant is not None:  # it was taken, and then came the exception
                        wait.signal.wake()
                notified = yield from self._leave_condition(wait)
            self._check_open(wait)
            again = yield from self._wait(wait, None, patient=True)
        except BaseException:  # interrupted again, or refused: the lock is not held, and nobody waits
            with standing.mutex:
                standing.holds.pop(wait.id, None)
                wait.condition = condition
            yield from self._leave(wait)
            raise
        assert again is not None
        again.count = hold.count
        if interruption is not None:
            if notified:
                yield from self._pass_on(again, condition)
            raise interruption
        return notified

    def _pass_on(self, hold: Hold, condition: str) -> Steps[None]:
        """Notify another waiter in place of one that was interrupted, as asyncio does. It holds the lock."""
        call = self.standing.new_id()
        try:
            yield from scripts.condition_notify(
                hold.of, id=hold.id, token=hold.token, call=call, condition=condition, n=1
            )
        except (redis.RedisError, OSError) as error:
            log.warning("a notification of the Condition %r is lost: %s", condition, described(error))
        else:
            self.standing.end_id(call)

    def _release_and_wait(self, hold: Hold, wait: Wait) -> Steps[None]:
        code, arrival, now_ms = scripts.LOST, 0, 0
        sent = time.monotonic()
        writes = self._writes(hold)

        def asked() -> Steps[tuple[int, int, int]]:
            nonlocal sent
            sent = time.monotonic()
            return scripts.condition_wait(
                hold.of,
                id=hold.id,
                token=hold.token,
                last_token=hold.last_token,
                writes=writes,
                again=wait.id,
                condition=wait.condition,
            )

        try:
            if not hold.gone:
                code, arrival, now_ms = yield from patiently(asked, hold.deadline, hold.note_refusal)
        except UNANSWERED as error:
            hold.unanswered = True
            raise UnreachableError(unanswered_text(hold, error)) from error
        except BaseException:
            hold.unanswered = True
            raise
        self._ended(hold, code)
        with self.standing.mutex:
            wait.arrival, wait.sample = arrival, (sent, now_ms)
            self.heartbeat.wake_by(wait.due)

    def _leave_condition(self, wait: Wait) -> Steps[bool]:
        """Queue for the lock, notified or not; whether it was."""
        notified, arrival = yield from patiently(
            lambda: scripts.condition_leave(wait.of, id=wait.id, condition=wait.condition), float("inf")
        )
        with self.standing.mutex:
            wait.condition = ""
            wait.arrival = arrival if arrival is not None else wait.arrival
        return notified

    # --- a permit arrives ---

    def _ask(self, wait: Wait, *, blocking: bool) -> Steps[tuple[float, scripts.Asked]]:
        sent = time.monotonic()
        asked = yield from scripts.acquire(
            wait.of,
            id=wait.id,
            lease_ms=wait.lease_ms,
            wait=blocking,
            arrival=wait.arrival,
            wants=wait.wants,
        )
        took = time.monotonic() - sent
        self.round_trip = took if not self.round_trip else min(took, 0.8 * self.round_trip + 0.2 * took)
        return sent, asked

    def _try(self, wait: Wait) -> Steps[Hold | None]:
        for _ in range(ASKED_MAX):
            sent, asked = yield from self._ask(wait, blocking=False)
            if asked.code != scripts.GRANTED:
                self.standing.end_id(wait.id)
                return None
            hold = self._enter(wait, asked.token, sent + (asked.ms - asked.now_ms) / 1000, 0, asked.texts)
            if hold is not None:
                return hold
        yield from self._leave(wait)
        raise too_short(wait)

    def _wait(self, wait: Wait, until: float | None, *, patient: bool = False) -> Steps[Hold | None]:
        """Ask, and wait for the grant. `patient`: also if Redis does not answer the first question; nobody ends it."""
        standing = self.standing
        late = 0
        while late < ASKED_MAX:
            asked = None
            try:
                if wait.grant is None:  # else a notified waiter of a Condition has it already
                    sent, asked = yield from self._ask(wait, blocking=True)
            except UNANSWERED:
                if wait.arrival is None and not patient:
                    raise
                if wait.arrival is None:
                    yield pause(BACKOFF)
                    continue
                # it is in the queue already: the heartbeat asks again when Redis is back
            if asked and asked.code == scripts.GRANTED:
                hold = self._enter(wait, asked.token, sent + (asked.ms - asked.now_ms) / 1000, 0, asked.texts)
                if hold is not None:
                    return hold
                late += 1
                continue
            if asked:
                with standing.mutex:
                    wait.arrival, wait.sample = asked.token, (sent, asked.now_ms)
                    self.heartbeat.plan(wait, asked.ms)
                confirmation = self._confirmation(wait, 0)
                at_leisure = until is None or until - time.monotonic() > OPEN_WITHIN
                if at_leisure and not self._outbox.opened(confirmation):
                    yield Blocking(partial(self._outbox.open, confirmation))
            left = None if until is None else until - time.monotonic()
            if not self.heartbeat.ended and not (yield Rest(wait.signal, left, pausing=patient)):
                with standing.mutex:
                    if wait.grant is None:
                        return None
                    wait.signal.take()  # the grant came in the last moment
            with standing.mutex:
                grant, wait.grant = wait.grant, None
            if grant is None:
                yield from self._leave(wait)
                self._check_open(wait)
            assert grant is not None
            with standing.mutex:
                # the claim's end, or the end of the lease that the confirmation made of it, if that is sooner
                end = wait.sample[0] + (grant.end_ms - wait.sample[1]) / 1000
            deadline = min(end, grant.confirmed + wait.lease)
            hold = self._enter(wait, grant.token, deadline, grant.waiting, grant.texts)
            if hold is not None:
                return hold
        yield from self._leave(wait)
        raise too_short(wait)

    def _check_open(self, wait: Wait) -> None:
        """Refuse to wait on after `close`: nothing would hear of a grant."""
        if self.heartbeat.ended:
            raise InterlockError(
                f"{wait.of.kind} {wait.of.name!r} was not acquired: while this waited, interlock.close() or the end "
                "of the process gave back all that it holds; acquire it again"
            )

    def _enter(self, wait: Wait, token: int, deadline: float, waiting: int, texts: Sequence[str | None]) -> Hold | None:
        """The permit as this process has it from now on; None if its lease may be over already: then ask again."""
        now = time.monotonic()
        if now >= deadline - min(MARGIN, wait.lease / 4):
            return None
        task = caller.current.get()
        label = task.label if task else ""
        due = now + (deadline - now) / 3
        hold = Hold(wait.of, wait.id, token, wait.lease, deadline, caller.owner(), label, due)
        hold.copies.receive(wait.wants, texts)
        standing = self.standing
        with standing.mutex:
            standing.waits.pop(wait.id, None)
            standing.holds[wait.id] = hold
            standing.lost.discard((wait.of.state, wait.of.mode))
            self.heartbeat.wake_by(due)
            station = lingering_with(wait)
            if station is not None:
                self.lingering.begin(station, hold, max(waiting, wait.asked), self.round_trip)
        return hold

    def _leave(self, wait: Wait) -> Steps[None]:
        """The attempt ends without a permit; a grant that has come meanwhile is passed on."""
        with self.standing.mutex:
            self.standing.waits.pop(wait.id, None)
        try:
            yield from scripts.abandon(wait.of, id=wait.id, condition=wait.condition)
        except (redis.RedisError, OSError) as error:  # its place lapses: nobody re-asks, or confirms a grant for it
            log.warning("could not leave the queue of %r: %s", wait.of.name, error)
        else:
            self.standing.end_id(wait.id)

    # --- messages arrive ---

    def _listen(self, within: float | None) -> Steps[None]:
        """Have messages heard. If that takes longer, go on: the next sign of life brings what nobody heard."""
        if self._listener is None:
            channel = f"{self.prefix}interlock:session:{self.id}"
            made = Listener(self.wire, channel, self._on_message, self._on_connection)
            with self.standing.mutex:
                self._listener = self._listener or made
        signal = self._listener.connecting()
        if signal is not None:
            yield Rest(signal, LISTEN_WITHIN if within is None else min(within, LISTEN_WITHIN))

    def _on_connection(self) -> None:
        """Also after a reconnection: what was published meanwhile is lost."""
        scripts.load_confirm(self.wire)
        self.heartbeat.ask_now()
        with self.standing.mutex:
            for signal in list(self.standing.sleepers.values()):
                signal.wake()

    def _on_message(self, message: str) -> None:
        token, end, waiting, rest = message.split(" ", 3)
        id, _, values = rest.partition("\n")
        if token in (ASKED, BROKEN):
            self.lingering.on_asked(id, broken=token == BROKEN)
            return
        if token != WAKE:
            self._on_grant(id, Grant(int(token), int(end), int(waiting), scripts.shipped(values)))
            return
        with self.standing.mutex:
            signal = self.standing.sleepers.get(id)
            if signal is not None:
                signal.wake()

    def _confirmation(self, wait: Wait, token: int) -> tuple[str | int, ...]:
        return scripts.confirm_command(wait.of, id=wait.id, token=token, lease_ms=wait.lease_ms)

    def _on_grant(self, id: str, grant: Grant) -> None:
        standing = self.standing
        with standing.mutex:
            wait = standing.waits.get(id)
            if wait is None:
                return  # entered by another answer, or left: then its abandon passes the grant on
        if self._outbox.forgotten:
            self._outbox.forgotten = False
            scripts.load_confirm(self.wire)
        # At once, before the section and without awaiting the reply: later, a C call in the section may keep the GIL.
        confirmed = time.monotonic()
        self._outbox.send(self._confirmation(wait, grant.token))
        with standing.mutex:
            first = wait.grant is None
            if wait.grant is None or wait.grant.token != grant.token:  # else the first confirmation is what counts
                wait.grant = replace(grant, confirmed=confirmed)
            if first and wait.id in standing.waits:
                wait.signal.wake()

    # --- the end ---

    def end(self) -> None:
        """Let the threads end, when they next look; then the heartbeat closes it."""
        self.heartbeat.end()
        if self._listener is not None:
            self._listener.ended = True

    def close(self) -> None:
        """At the normal end of a process, or when its client is no more: give back what is held, leave every queue."""
        self.end()
        self._on_close(self)
        standing = self.standing
        with standing.mutex:
            holds, waits = list(standing.holds.values()), list(standing.waits.values())
            unsent = {hold.id: _finished(hold) for hold in holds}  # a section that has not ended never was
            standing.holds.clear()
            standing.waits.clear()
            for station in self.lingering.all():
                station.end()
        for hold in holds:
            try:
                self._last(self.release(hold, unsent[hold.id], until=0.0))
            except UnreachableError as error:
                log.warning("%d holds could not be given back, their leases will run out: %s", len(holds), error)
                return
            except LeaseLostError:
                log.info("at the end of the process, the lease of %s %r was over", hold.of.kind, hold.of.name)
            except Exception as error:  # the others must be given back all the same
                log.warning("could not give back %r, its lease will run out: %s", hold.of.name, described(error))
        for wait in waits:
            self._last(self._leave(wait))
            wait.signal.wake()
        for loss in self.lingering.untold():
            log.warning("lost, and nobody asked: %s", loss)

    def _vanish(self) -> None:
        """The heartbeat's last act. If the client is no more, leave no thread and no connection behind."""
        if not self.vanishing:
            return
        try:
            self.close()
            if self._listener is not None:
                self.wire.call("PUBLISH", self._listener.channel, "")  # so that it looks now
        except Exception as error:  # there is nobody to tell
            log.info("the listener ends a moment later: %s", described(error))
        finally:
            self._outbox.close()
            self.wire.close()

    def _last(self, steps: Steps[Any]) -> None:
        """As `run`, also for a signal handler that comes amid bookkeeping: what it interrupts does not matter now."""
        run_steps(steps, self.call)


def _finished(hold: Hold) -> Mapping[Key, Any]:
    """What is to be stored of a hold that the end of the process ends."""
    station = lingering_with(hold)
    if station is not None and station.hold is hold:
        return station.close()
    return hold.copies.unsent(hold.running if hold.releaser is None else None)


def too_short(wait: Wait) -> InterlockError:
    """A lease that is always over before the caller hears of it."""
    return InterlockError(
        f"the lease of {wait.of.kind} {wait.of.name!r}, {wait.lease:g} s, is over before its grant arrives: "
        "lease must be longer than three round trips"
    )
