"""`Lock` and `RLock`: mutual exclusion between threads, processes and machines."""

from dataclasses import replace
from time import monotonic
from types import TracebackType
from typing import Any

from interlock import caller
from interlock._arguments import checked_lease, checked_linger, checked_wait
from interlock._holding.holdings import Hold, lost_text
from interlock._holding.lingering_lock import LINGERING_LEASE_MIN, LingeringLock, lingering_with
from interlock._holding.turns import NO_BIAS, NOBODY
from interlock._io.steps import Steps
from interlock._io.wire import Client
from interlock._primitive import Primitive, Statistics, blocking, look, steps_of, without_result
from interlock._protocol import scripts
from interlock._protocol.scripts import Resource
from interlock.errors import LeaseLostError, NotHeldError

current = caller.current.get


class _BaseLock(Primitive):
    """What both locks share."""

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
        self._wants = ""  # the values that were used in the last section that it ended
        self._lingering_lock: LingeringLock | None = None  # this process's, if it lingers and was used
        self._bias = NO_BIAS  # there, the one that this object heard of last: what the fast paths look at

    def parameters(self) -> dict[str, Any]:
        return {"name": self.name, "lease": self.lease, "linger": self.linger}

    @property
    def _resource(self) -> Resource:
        return self._session.resource(self.kind, self.name)

    def _lingers(self) -> bool:
        return self.linger != 0 and self.lease >= LINGERING_LEASE_MIN and not caller.stepping.coroutine

    @blocking
    def acquire(self, blocking: bool = True, timeout: float = -1) -> Steps[bool]:
        """Take the lock, after all who asked before.

        Args:
            blocking: False: one try, without waiting.
            timeout: how long to wait, in seconds; -1: for ever.

        Returns:
            Whether the caller holds it now.

        Raises:
            UnreachableError: no Redis answers.
            NameTakenError: the name stands for another kind of thing.
        """
        wait = checked_wait(blocking, timeout, forever=-1)
        session = self._session
        resource = self._resource
        self._anchor = session.holdings.anchor(resource)
        if self._lingers():
            self._lingering_lock = lingering_lock = session.lingering.lingering_lock(resource, self.lease, self.linger)
            if lingering_lock.lingers(session.acquiring.round_trip):
                entered = yield from session.lingering.acquire(lingering_lock, wait)
                self._bias = lingering_lock.bias_holder
                return entered
        hold = yield from session.acquiring.acquire(resource, lease=self.lease, timeout=wait, wants=self._wants)
        return hold is not None

    @without_result
    @blocking
    def release(self) -> Steps[None]:
        """Give the lock up: it lingers, or is handed to the first who waits, in one round trip.

        Raises:
            NotHeldError: the caller does not hold it.
            LeaseLostError: its lease ran out before; what was written under it is discarded.
            UnreachableError: Redis did not answer until the lease was over.
        """
        yield from self._release(None)

    def _release(self, owner: caller.Owner | None) -> Steps[None]:
        hold = yield from self._session.leave(self._resource, owner)
        if hold is None:
            holder = "the caller" if owner else "this process"
            raise NotHeldError(f"cannot release the {self.kind} {self.name!r}: {holder} does not hold it")
        if hold.lingering_lock is None:  # else the next one may be inside already
            self._wants = hold.local_values.wanted()
        if self._lingering_lock is not None:
            self._lingering_lock.left()

    @blocking
    def locked(self) -> Steps[bool]:
        """Whether anybody holds it. One round trip."""
        found = yield from steps_of(self.statistics)()
        return bool(found.holders)

    @blocking
    def break_lock(self) -> Steps[bool]:
        """Take the lock away from whoever holds it, by hand, and hand it to the first who waits. One round trip.

        Who held it hears of it as if the lease had run out: `lost` turns true with the next renewal, `LeaseLostError`
        comes with the next release, and nothing that is written under the old token takes effect.

        Returns:
            Whether anybody held it.

        Raises:
            NameTakenError: the name stands for another kind of thing.
        """
        session = self._session
        yield from session.checked()
        call = session.holdings.new_id()
        broken = yield from scripts.break_all(self._resource, call=call)
        session.holdings.end_id(call)
        return broken > 0

    @blocking
    def statistics(self) -> Steps[Statistics]:
        """Who holds it and who waits, in order. If this process lingers, and nobody is inside, nobody holds it."""
        found = yield from look(self._session, self.kind, self.name, 1)
        lingering_lock = self._session.lingering.lingering_locks.get(self._resource.state)
        hold = lingering_lock.hold if lingering_lock is not None else None
        if hold is not None and hold.owner is None:
            found = replace(found, holders=tuple(each for each in found.holders if each.token != hold.token))
        return found

    @property
    def token(self) -> int | None:
        """The fencing token under which this process holds it; None if it does not. Tokens only grow."""
        hold = self._find()
        return hold.section_token if hold else None

    @property
    def deadline(self) -> float | None:
        """When the lease ends if it is not renewed, on `time.monotonic()`; None if this process does not hold it."""
        hold = self._find()
        return hold.deadline if hold else None

    @property
    def lost(self) -> bool:
        """Whether the lease that this process had last ran out before it was released. Asks nobody."""
        hold = self._find()
        return hold.lost if hold else (self._resource.state, self._resource.mode) in self._session.holdings.lost

    def _find(self) -> Hold | None:
        """What releases would end: a Lock's may be released by any thread of the process."""
        return self._session.holdings.mine(self._resource)

    def _mine(self) -> Hold | None:
        """What the caller itself holds."""
        return self._session.holdings.mine(self._resource, caller.owner())

    def _releasable(self) -> Hold | None:
        """What the caller itself holds, or a coroutine left held that has ended."""
        return self._session.holdings.releasable(self._resource, caller.owner())

    def __enter__(self) -> bool:
        bias = self._bias
        mark = bias.mark
        if not bias.taken and mark._is_owned():
            # Announce, then look. Who takes the bias away (`Turns._freed`) ends its time, then looks whether it is
            # taken: one of both sees the other. After the look nothing is called, so that no handler of a signal that
            # uses this lock itself comes between.
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
        """Enter by a bias that another object of this name was given, by a new one, or by asking Redis."""
        lingering_lock = self._lingering_lock
        if lingering_lock is not None:
            if self._bias is not lingering_lock.bias_holder:
                self._bias = lingering_lock.bias_holder
                return _BaseLock.__enter__(self)
            if lingering_lock.enter_at_once():
                self._bias = lingering_lock.bias_holder
                return True
        return self.acquire()

    def _bias_at(self, lingering_lock: LingeringLock | None) -> None:
        """Show the fast paths that the caller is inside by way of this lock."""
        if lingering_lock is not None and self._lingers():
            if self._lingering_lock is not lingering_lock:
                self._anchor = self._session.holdings.anchor(self._resource)
            self._lingering_lock, self._bias = lingering_lock, lingering_lock.bias_holder

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
    """A lock that at most one caller holds, anywhere; `threading.Lock` between machines.

    >>> import interlock
    >>> lock = interlock.Lock(name="report")
    >>> with lock:
    ...     lock.locked(), interlock.Lock(name="report").acquire(blocking=False)
    (True, False)

    Differs from `threading.Lock`: it has a name, and all locks of one name are one lock; any thread *of the process
    that holds it* may release it, no other process may; who asks first gets it first; `repr` asks nobody and knows only
    of this process; `release` of what is not held raises `NotHeldError`, which is also a `ValueError`.

    The holder has it for a *lease*, which a thread of its process renews for as long as it lives. If the process dies
    or stops, the lock goes to the next one when the lease is over. If the process was only stopped, it learns of it by
    `LeaseLostError`, and nothing that it writes under the lock afterwards takes effect (`interlock.Value` with
    `lock=`). For other resources, pass `lock.token`, which only grows, and let the resource refuse older ones. Keep the
    object: when a program has dropped all objects of one name while it holds the lock, and no task holds it, the lease
    is renewed no more, and a `ResourceWarning` says so.

    A copy in the same process (`copy.copy`, `copy.deepcopy`, `dataclasses.asdict`) is the same lock, with the same
    client. A pickle, and an argument of a task, carry the name alone, never an address or a password, and use the Redis
    of `REDIS_URL` where they arrive: with a `client=` of another address, that would be another lock, so pickling it
    raises `TypeError` and says both addresses. The same holds for all that have a name.

    Args:
        name: None: a fresh unique one.
        client: a `redis.Redis` or `redis.cluster.RedisCluster`; None: from `REDIS_URL`. Copies keep it, pickles cannot.
        lease: seconds that Redis keeps the lock for a holder that is silent, 0.1 to a day.
        linger: 0: strict, it is given up with each release; else the process keeps it after a release, and enters again
            without asking, for as long as no other process asks and it is in use, and for so many seconds, at most 10,
            if another does. None: strict, until three sections have followed one another, 50 ms apart at most, or two
            within a round trip, if that takes more than 4 ms; then for 16 round trips, 10 to 250 ms. A lease of less
            than a second: strict. What that means for order, for the dead, and for what is written under it:
            docs/explanation/guarantees.md. What is written is committed before interlock's own signals, the end of a
            task, and all that multiprocessing and billiard send; before telling others in another way, call
            `interlock.flush()`.

    Costs one round trip to acquire and one to release; the hand-over to a waiter is half a trip to Redis and half a
    trip on. While it lingers: none.
    """

    kind = "Lock"


class RLock(_BaseLock):
    """A lock that its owner may acquire again; `threading.RLock` between machines.

    Its owner is a thread, and within it a task: two tasks that run one after the other in a worker's thread are two
    owners. Only the owner may release it, as often as it acquired it. Acquiring again costs no round trip.

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
        """As `Lock.acquire`; at once if the caller holds it.

        Raises:
            LeaseLostError: the caller holds it no longer, for its lease is over.
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
        """As `Lock.release`; the lock is given up when it was released as often as acquired."""
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
            lingering_lock.nest(
                deeper=True
            )  # first: whatever interrupts this, nobody leaves by the fast path what is nested
        hold.count += change
        if lingering_lock is not None and change < 0:
            lingering_lock.nest(deeper=hold.count > 1)
