"""`RWLock`: many readers hold it together, a writer holds it alone; first come, first served."""

from typing import Any

from interlock import caller
from interlock._arguments import checked_lease, checked_wait
from interlock._io.steps import Steps
from interlock._io.wire import Client
from interlock._primitive import Primitive, Statistics, blocking, look, steps_of
from interlock._protocol.scripts import Resource
from interlock.errors import InterlockError
from interlock.lock import _BaseLock


class Side(_BaseLock):
    """The lock of an RWLock that readers take, or that writers take: as `Lock`, with `token`, `deadline` and `lost`.

    Args:
        mode: "" for readers, "w" for writers.
        name, client, lease: as in `RWLock`.
    """

    kind = "RWLockSide"

    def __init__(
        self,
        mode: str,
        *,
        name: str | None = None,
        client: Client | None = None,
        lease: float = 30.0,
    ) -> None:
        super().__init__(name=name, client=client, lease=lease, linger=0)
        self.mode = mode

    @property
    def _resource(self) -> Resource:
        return self._side(self.mode)

    def _side(self, mode: str) -> Resource:
        state = self._session.resource(self.kind, self.name).state
        return Resource(state, self.name, RWLock.kind, mode=mode)

    @blocking
    def acquire(self, blocking: bool = True, timeout: float = -1) -> Steps[bool]:
        """Take the lock as `Lock.acquire` does; a try returns False if the caller already reads or writes under it.

        Raises:
            InterlockError: the caller already holds it, to read or to write, and would wait for itself.
        """
        wait = checked_wait(blocking, timeout, forever=-1)
        holdings, owner = self._session.holdings, caller.owner()
        if any(holdings.mine(self._side(mode), owner) for mode in ("", "w")):
            if wait == 0:
                return False
            raise InterlockError(f"the caller holds the RWLock {self.name!r} already: release it first")
        return (yield from steps_of(super().acquire)(blocking, timeout))

    def parameters(self) -> dict[str, Any]:
        return {"mode": self.mode, "name": self.name, "lease": self.lease}

    @blocking
    def statistics(self) -> Steps[Statistics]:
        return look(self._session, RWLock.kind, self.name, 1)

    def __repr__(self) -> str:
        hold = self._find()
        side = "writer" if self.mode else "reader"
        return f"<interlock.RWLock.{side} {self.name!r} {f'locked token={hold.token}' if hold else 'not held here'}>"


class RWLock(Primitive):
    """A lock that many callers hold together to read, or one alone to write, on any machine. `threading` has none.

    >>> import interlock
    >>> prices = interlock.RWLock(name="prices")
    >>> with prices.reader:
    ...     prices.writer.acquire(blocking=False)
    False
    >>> with prices.writer:
    ...     prices.writer.token > 0
    True

    First come, first served: a reader that comes after a waiting writer waits behind it, so neither readers nor writers
    starve. Readers that wait one directly behind the other enter together (a fair queue of readers and writers:
    Courtois, Heymans and Parnas 1971, the third problem, as Morris 1979 put it). `reader` and `writer` are locks with
    all that a `Lock` has. Each holder has a lease and a token of its own; when a holder dies, Redis takes the lock back
    at the end of its lease.

    A holder cannot acquire the lock again, and cannot change from reading to writing: it would wait for itself, so
    `acquire` raises `InterlockError`.

    Args:
        name: None: a fresh unique one.
        client: a `redis.Redis` or `redis.cluster.RedisCluster`; None: from `REDIS_URL`. Copies keep it, pickles cannot.
        lease: seconds that Redis keeps the lock for a holder that is silent, 0.1 to a day.

    Costs one round trip to acquire and one to release.
    """

    kind = "RWLock"

    def __init__(self, *, name: str | None = None, client: Client | None = None, lease: float = 30.0) -> None:
        super().__init__(name, client)
        self.lease = checked_lease(lease)
        self.reader = Side("", name=self.name, client=client, lease=lease)
        """The lock that readers take."""
        self.writer = Side("w", name=self.name, client=client, lease=lease)
        """The lock that writers take."""

    def parameters(self) -> dict[str, Any]:
        return {"name": self.name, "lease": self.lease}

    @blocking
    def break_lock(self) -> Steps[bool]:
        """Take the lock away from all its holders, by hand, as `Lock.break_lock` does."""
        return steps_of(self.writer.break_lock)()

    @blocking
    def statistics(self) -> Steps[Statistics]:
        """Return who holds the lock and who waits, in order."""
        return look(self._session, self.kind, self.name, 1)

    def __repr__(self) -> str:
        return f"<interlock.RWLock {self.name!r}>"
