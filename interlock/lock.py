"""`Lock` and `RLock`: mutual exclusion between threads, processes and machines."""

from dataclasses import replace
from time import monotonic
from types import TracebackType
from typing import Any

from interlock import caller
from interlock._arguments import checked_lease, checked_linger, checked_wait
from interlock._holding.holdings import Hold, lost_text
from interlock._holding.lingering_lock import LINGERING_LEASE_MIN, LingeringLock, lingering_with
from interlock._holding.turns import NO_BIAS, NOBODY, Turns
from interlock._io.steps import Steps
from interlock._io.wire import Client
from interlock._primitive import Primitive, Statistics, blocking, look, steps_of, without_result
from interlock._protocol import scripts
from interlock._protocol.scripts import Resource
from interlock.errors import LeaseLostError, NotHeldError

current = caller.current.get


class _BaseLock(Primitive):
    """The base of `Lock` and `RLock`."""

    def __init__(
        self,
        *,
        name: str | None = None,
        client: Client | None = None,
        lease: float = 30.0,
        linger: float | None = None,
    ) -> None:
        super().__init__(name, client)
        self.lease = checked_lease(lease)
        self.linger = checked_linger(linger)
        self._wants = ""  # the values that the last section used which this object ended
        self._lingering_lock: LingeringLock | None = None  # this process's, once the object is used and may linger
        self._turns: Turns | None = None  # its turns, here for `_enter`: each access to an attribute takes time
        self._bias = NO_BIAS  # the bias of those turns that this object saw last: the fast paths look at it

    def parameters(self) -> dict[str, Any]:
        return {"name": self.name, "lease": self.lease, "linger": self.linger}

    @property
    def _resource(self) -> Resource:
        return self._session.resource(self.kind, self.name)

    def _lingers(self) -> bool:
        return self.linger != 0 and self.lease >= LINGERING_LEASE_MIN and not caller.stepping.coroutine

    @blocking
    def acquire(self, blocking: bool = True, timeout: float = -1) -> Steps[bool]:
        """Take the lock, after all callers that asked before.

        Args:
            blocking: False: the call tries once and does not wait.
            timeout: how long to wait, in seconds; -1: for ever.

        Returns:
            Whether the caller holds it now.

        Raises:
            UnreachableError: no Redis answers.
            NameTakenError: the name belongs to another kind of thing.
        """
        wait = checked_wait(blocking, timeout, forever=-1)
        session = self._session
        resource = self._resource
        self._anchor = session.holdings.anchor(resource)
        if self._lingers():
            lingering_lock = session.lingering.lingering_lock(resource, self.lease, self.linger)
            self._lingering_lock, self._turns = lingering_lock, lingering_lock.turns
            if lingering_lock.lingers(session.acquiring.round_trip):
                entered = yield from session.lingering.acquire(lingering_lock, wait)
                self._bias = lingering_lock.turns.bias_holder
                return entered
        hold = yield from session.acquiring.acquire(resource, lease=self.lease, timeout=wait, wants=self._wants)
        return hold is not None

    @without_result
    @blocking
    def release(self) -> Steps[None]:
        """Give the lock up: the process lingers with it, or Redis hands it to the first waiter, in one round trip.

        Raises:
            NotHeldError: the caller does not hold it.
            LeaseLostError: the lease ran out before; Redis discards what the section wrote to values under the lock.
            UnreachableError: Redis did not answer until the lease was over.
        """
        yield from self._release(None)

    def _release(self, owner: caller.Owner | None) -> Steps[None]:
        hold = yield from self._session.leave(self._resource, owner)
        if hold is None:
            holder = "the caller" if owner else "this process"
            raise NotHeldError(f"cannot release the {self.kind} {self.name!r}: {holder} does not hold it")
        if hold.lingering_lock is None:  # else the next thread of the process may be inside already
            self._wants = hold.local_values.wanted()
        if self._lingering_lock is not None:
            self._lingering_lock.left()

    @blocking
    def locked(self) -> Steps[bool]:
        """Whether the lock has a holder anywhere. One round trip."""
        found = yield from steps_of(self.statistics)()
        return bool(found.holders)

    @blocking
    def break_lock(self) -> Steps[bool]:
        """Take the lock away from its holder, by hand, and hand it to the first waiter. One round trip.

        The holder learns of it as if the lease had run out: its `lost` turns true with the next renewal, its next
        release raises `LeaseLostError`, and nothing that it writes under the old token takes effect.

        Returns:
            Whether the lock had a holder.

        Raises:
            NameTakenError: the name belongs to another kind of thing.
        """
        session = self._session
        yield from session.checked()
        call = session.holdings.new_id()
        broken = yield from scripts.break_all(self._resource, call=call)
        session.holdings.end_id(call)
        return broken > 0

    @blocking
    def statistics(self) -> Steps[Statistics]:
        """Return who holds the lock and who waits, in order.

        While this process lingers with the lock and none of its threads is inside, the answer has no holder.
        """
        found = yield from look(self._session, self.kind, self.name, 1)
        lingering_lock = self._session.lingering.lingering_locks.get(self._resource.state)
        hold = lingering_lock.hold if lingering_lock is not None else None
        if hold is not None and hold.owner is None:
            found = replace(found, holders=tuple(each for each in found.holders if each.token != hold.token))
        return found

    @property
    def token(self) -> int | None:
        """The fencing token under which this process holds the lock; None if it does not. Tokens only grow."""
        hold = self._find()
        return hold.section_token if hold else None

    @property
    def deadline(self) -> float | None:
        """When the lease of this process ends unless it is renewed, on `time.monotonic()`; None if there is none."""
        hold = self._find()
        return hold.deadline if hold else None

    @property
    def lost(self) -> bool:
        """Whether the last lease of this process ran out before a release ended it. Does not ask Redis."""
        hold = self._find()
        return hold.lost if hold else (self._resource.state, self._resource.mode) in self._session.holdings.lost

    def _find(self) -> Hold | None:
        """Return the hold that a release would end, if any: any thread of the process may release a Lock."""
        return self._session.holdings.mine(self._resource)

    def _mine(self) -> Hold | None:
        """Return the caller's own hold, if it has one."""
        return self._session.holdings.mine(self._resource, caller.owner())

    def _releasable(self) -> Hold | None:
        """Return the caller's own hold, or one that a coroutine did not release before it ended, if there is one."""
        return self._session.holdings.releasable(self._resource, caller.owner())

    def __enter__(self) -> bool:
        bias = self._bias
        mark = bias.mark
        if not bias.taken and mark._is_owned():
            # This thread first announces itself (`taken`), then looks whether the bias is still good. The thread that
            # takes the bias away (`Turns._freed`) first ends the time of the bias, then looks whether it is taken. So
            # one of the two sees the other. After its look this thread calls nothing, so that no signal handler that
            # uses this lock itself can run in between.
            bias.taken = True
            try:
                if current() is bias.caller and (now := monotonic()) < bias.good_until:
                    bias.entered = now
                    bias.inside = mark
                    return True
            except BaseException:
                bias.taken = False
                raise
            bias.taken = False
        return self._enter()

    def _enter(self) -> bool:
        """Enter by the bias that another object of this name has brought about, by a new one, or by asking Redis."""
        turns = self._turns
        if turns is not None:
            if self._bias is not turns.bias_holder:
                self._bias = turns.bias_holder
                return _BaseLock.__enter__(self)
            if turns.enter_at_once():
                self._bias = turns.bias_holder
                return True
        return self.acquire()

    def _bias_at(self, lingering_lock: LingeringLock | None) -> None:
        """Show the fast paths of this object that the caller is inside by this lingering lock."""
        if lingering_lock is not None and self._lingers():
            if self._lingering_lock is not lingering_lock:
                self._anchor = self._session.holdings.anchor(self._resource)
            turns = lingering_lock.turns
            self._lingering_lock, self._turns, self._bias = lingering_lock, turns, turns.bias_holder

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        bias = self._bias
        if bias.inside._is_owned() and monotonic() < bias.stay_until:
            bias.inside = NOBODY
            bias.taken = False
        else:
            self.release()

    def __repr__(self) -> str:
        hold = self._find()
        held = hold is not None and hold.owner is not None
        return f"<interlock.{self.kind} {self.name!r} {f'locked token={self.token}' if held else 'not held here'}>"


class Lock(_BaseLock):
    """A lock that at most one caller holds at a time, on any machine; `threading.Lock` between machines.

    >>> import interlock
    >>> lock = interlock.Lock(name="report")
    >>> with lock:
    ...     lock.locked(), interlock.Lock(name="report").acquire(blocking=False)
    (True, False)

    Differs from `threading.Lock`: the lock has a name, and all locks of one name are one lock; any thread *of the
    process that holds it* may release it, and no other process may; the waiter that asked first gets it first; `repr`
    does not ask Redis and knows only of this process; `release` by a process that does not hold the lock raises
    `NotHeldError`, which is also a `ValueError`.

    The holder has the lock for a *lease*, which a thread of its process renews for as long as the process lives. If the
    process dies or is stopped, Redis gives the lock to the next waiter when the lease is over. A process that was only
    stopped learns of the loss by `LeaseLostError`, and nothing that it writes under the lock afterwards takes effect
    (`interlock.Value` with `lock=`). Pass `lock.token`, which only grows, to any other resource, and let the resource
    refuse tokens that are older than one it has seen. Keep the object: when a program has dropped all objects of one
    name while it holds the lock, and no task holds it, the heartbeat stops renewing the lease, and a `ResourceWarning`
    says so.

    A copy in the same process (`copy.copy`, `copy.deepcopy`, `dataclasses.asdict`) is the same lock, with the same
    client. A pickle, and an argument of a task, carry the name, the lease and the linger time, never an address or a
    password, and use the Redis of `REDIS_URL` where they arrive. With a `client=` of another address they would name
    another lock there, so pickling raises `TypeError` and names both addresses. The same holds for every object with a
    name.

    Args:
        name: None: a fresh unique one.
        client: a `redis.Redis` or `redis.cluster.RedisCluster`; None: from `REDIS_URL`. Copies keep it, pickles cannot.
        lease: seconds that Redis keeps the lock for a holder that is silent, 0.1 to a day.
        linger: seconds, 0 to 10. 0: the lock is strict, and each release gives it up. More: the process keeps the lock
            after a release, and its threads enter again without asking Redis, as long as the lock is in use and no
            other process asks for it; when another process asks, this one keeps the lock for that many seconds.
            None: the lock is strict until three sections have followed one another at most 50 ms apart, or two within
            one round trip that takes more than 4 ms; then it lingers for 16 round trips, 10 to 250 ms. A lock with a
            lease of less than a second is always strict. docs/explanation/guarantees.md says what lingering means for
            the order of waiters, for processes that die, and for values written under the lock. The process commits
            those values before interlock's own signals, before the end of a task, and before anything that
            multiprocessing or billiard sends. Before you tell other processes in any other way, call
            `interlock.flush()`.

    Costs one round trip to acquire and one to release. A hand-over takes half a round trip from the releasing process
    to Redis, and half a round trip on to the waiter. While the process lingers, both cost none.
    """

    kind = "Lock"


class RLock(_BaseLock):
    """A lock that its owner may acquire again; `threading.RLock` between machines.

    The owner is a thread together with the task that it runs, if any: two tasks that run one after the other in a
    worker's thread are two owners. Only the owner may release the lock, as often as it acquired it. Acquiring again
    costs no round trip.

    >>> import interlock
    >>> lock = interlock.RLock()
    >>> with lock, lock:
    ...     lock.locked()
    True

    Differs from `threading.RLock` as `Lock` does from `threading.Lock`; arguments as there.
    """

    kind = "RLock"

    @blocking
    def acquire(self, blocking: bool = True, timeout: float = -1) -> Steps[bool]:
        """Take the lock as `Lock.acquire` does; at once if the caller holds it already.

        Raises:
            LeaseLostError: the caller acquired it before, and that lease is over.
        """
        hold = self._mine()
        if hold is None:
            return (yield from steps_of(super().acquire)(blocking, timeout))
        checked_wait(blocking, timeout, forever=-1)
        if (yield from self._session.releasing.surely_lost(hold)):
            raise LeaseLostError(lost_text(hold))
        self._nest(hold, 1)
        return True

    @without_result
    @blocking
    def release(self) -> Steps[None]:
        """Release once, as `Lock.release`; the owner gives the lock up when it released as often as it acquired."""
        hold = self._releasable()
        if hold is not None and hold.count > 1:
            self._nest(hold, -1)
            if (yield from self._session.releasing.surely_lost(hold)):
                raise LeaseLostError(lost_text(hold))
        else:
            yield from self._release(caller.owner())

    def _nest(self, hold: Hold, change: int) -> None:
        lingering_lock = lingering_with(hold)
        if lingering_lock is not None and change > 0:
            lingering_lock.turns.nest(
                deeper=True
            )  # first: so no thread leaves a nested section by the fast path, wherever an exception interrupts this
        hold.count += change
        if lingering_lock is not None and change < 0:
            lingering_lock.turns.nest(deeper=hold.count > 1)
