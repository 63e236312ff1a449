"""`Semaphore` and `BoundedSemaphore`: at most N holders at once, over all machines."""

from typing import Any

from interlock._arguments import checked_count, checked_lease, checked_ttl, checked_wait
from interlock._holding.holdings import lost_text
from interlock._io.steps import Steps, patiently
from interlock._io.wire import Client
from interlock._primitive import Entered, Primitive, Statistics, blocking, look, without_result
from interlock._protocol import scripts
from interlock._protocol.scripts import Resource
from interlock.errors import LeaseLostError

PERMITS_MAX = 1_000_000


class Semaphore(Entered, Primitive):
    """A count of permits that `acquire` takes and `release` gives back; `threading.Semaphore` between machines.

    >>> import interlock
    >>> slots = interlock.Semaphore(2, name="printer")
    >>> slots.acquire(), slots.acquire(), slots.acquire(timeout=0.1)
    (True, True, False)
    >>> slots.release(2)

    Differs from `threading.Semaphore`: the waiter that asked first is served first; permits are *leased*: Redis takes
    back the permits of a process that died when their leases are over. Permits are anonymous, as in `threading`:
    `release` by a process that holds none ends the lease that runs out soonest, and the count grows only if there is no
    lease to end. All semaphores of one name are one, and programs must make them with one value: to change the value,
    choose a new name, or `unlink` the semaphore when no process uses the old one. When a program has dropped all its
    objects of that name, the heartbeat stops renewing the permits that its process holds for no task; a
    `ResourceWarning` says so, and the permits go back when their leases are over.

    Args:
        value: how many permits there are, 0 to a million.
        name: None: a fresh unique one.
        client: a `redis.Redis` or `redis.cluster.RedisCluster`; None: from `REDIS_URL`. Copies keep it, pickles cannot.
        lease: seconds that Redis keeps a permit for a holder that is silent, 0.1 to a day.
        ttl: seconds without use after which Redis forgets added permits; None: never if it has a name, else a day.

    Costs one round trip to acquire and one to release.
    """

    kind = "Semaphore"

    def __init__(
        self,
        value: int = 1,
        *,
        name: str | None = None,
        client: Client | None = None,
        lease: float = 30.0,
        ttl: float | None = None,
    ) -> None:
        super().__init__(name, client)
        value = checked_count("semaphore initial value", value)
        if not 0 <= value <= PERMITS_MAX:
            raise ValueError(f"semaphore initial value must be >= 0 and at most {PERMITS_MAX}, not {value}")
        self.value = value
        self.lease = checked_lease(lease)
        self.ttl = checked_ttl(ttl, named=name is not None)

    @property
    def _resource(self) -> Resource:
        ttl_ms = None if self.ttl is None else round(self.ttl * 1000)
        return self._session.resource(self.kind, self.name, self.value, ttl_ms)

    def parameters(self) -> dict[str, Any]:
        return {"value": self.value, "name": self.name, "lease": self.lease, "ttl": self.ttl}

    @blocking
    def acquire(self, blocking: bool = True, timeout: float | None = None) -> Steps[bool]:
        """Take a permit, after all callers that asked before.

        Args:
            blocking: False: the call tries once and does not wait.
            timeout: how long to wait, in seconds; None: for ever.

        Returns:
            Whether the caller has a permit now.

        Raises:
            UnreachableError: no Redis answers.
            NameTakenError: the name belongs to another kind of thing, or to a semaphore of another value.
        """
        wait = checked_wait(blocking, timeout, forever=None)
        self._anchor = self._session.holdings.anchor(self._resource)
        hold = yield from self._session.acquiring.acquire(self._resource, lease=self.lease, timeout=wait)
        return hold is not None

    @without_result
    @blocking
    def release(self, n: int = 1) -> Steps[None]:
        """Give n permits back; Redis hands each to the first waiter. One round trip.

        Raises:
            LeaseLostError: the caller's lease ran out before, and Redis took that permit back then.
        """
        yield from self._release(n, bound=None)

    def _release(self, n: int, bound: int | None) -> Steps[None]:
        n = int(n) if isinstance(n, bool) else checked_count("n", n)
        if n < 1:
            raise ValueError("n must be one or more")
        session, resource = self._session, self._resource
        yield from session.checked()
        yield from session.lingering.commit_all()
        holdings = session.holdings
        taken = holdings.take(resource, most=n)
        call = holdings.new_id()
        try:
            own = [(hold.id, hold.token) for hold in taken]
            code = yield from patiently(
                lambda: scripts.release_permits(resource, call=call, n=n, bound=bound, own=own),
                max((hold.deadline for hold in taken), default=0.0),
            )
        except BaseException:
            for hold in taken:
                hold.unanswered = True
            raise
        holdings.end_id(call)
        if code == scripts.FULL:
            session.releasing.hold_again(taken)
            raise ValueError("Semaphore released too many times")
        holdings.forget(taken, lost=False)
        if code == scripts.LOST:
            raise LeaseLostError(lost_text(taken[0]))

    @blocking
    def unlink(self) -> Steps[None]:
        """Delete it with its permits and its waiters. At its next use it begins with its first value."""
        yield from self._session.checked()
        yield ("DEL", *self._resource.keys)

    @blocking
    def statistics(self) -> Steps[Statistics]:
        """Return who holds permits and who waits, in order."""
        return look(self._session, self.kind, self.name, self.value)

    def __repr__(self) -> str:
        return f"<interlock.{self.kind} {self.name!r} value={self.value}>"


class BoundedSemaphore(Semaphore):
    """A Semaphore whose count never grows beyond its first value; `threading.BoundedSemaphore` between machines.

    `release` raises `ValueError` if the count would grow beyond that. In all else it is a `Semaphore`.
    """

    kind = "BoundedSemaphore"

    @without_result
    @blocking
    def release(self, n: int = 1) -> Steps[None]:
        """Give n permits back, or none.

        Raises:
            ValueError: holders have fewer than n permits; the call gives none back.
            LeaseLostError: as in `Semaphore.release`.
        """
        yield from self._release(n, bound=self.value)
