"""`Semaphore` and `BoundedSemaphore`: at most so many at once, over all machines."""

from types import TracebackType
from typing import Any

import redis

from interlock import _scripts
from interlock._arguments import checked_lease, checked_wait
from interlock._primitive import Primitive, Statistics, look

PERMITS_MAX = 1_000_000


class Semaphore(Primitive):
    """A count of permits that `acquire` takes and `release` gives back; `threading.Semaphore` between machines.

        slots = interlock.Semaphore(3, name="printer")
        with slots:
            ...

    Differs from `threading.Semaphore`: who asks first gets first; permits are *leased*: a process that dies gives back
    what it had when the lease is over. Permits are anonymous, as there: `release` by a process that holds none ends the
    lease that runs out soonest, and only if there is none does the count grow. All semaphores of one name are one, and
    must be made with one value.

    Args:
        value: how many permits there are, 0 to a million.
        name: None: a fresh unique one.
        client: a `redis.Redis`; None: from `REDIS_URL`.
        lease: seconds that Redis keeps a permit for a holder that is silent, 0.1 to a day.

    Costs one round trip to acquire and one to release.
    """

    kind = "Semaphore"

    def __init__(
        self, value: int = 1, *, name: str | None = None, client: redis.Redis | None = None, lease: float = 30.0
    ) -> None:
        super().__init__(name, client)
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"semaphore initial value must be an int, not {type(value).__name__}")
        if not 0 <= value <= PERMITS_MAX:
            raise ValueError(f"semaphore initial value must be >= 0 and at most {PERMITS_MAX}, not {value}")
        self.value = value
        self.lease = checked_lease(lease)

    def parameters(self) -> dict[str, Any]:
        return {"value": self.value, "name": self.name, "lease": self.lease}

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Take a permit, after all who asked before.

        Args:
            blocking: False: one try, without waiting.
            timeout: how long to wait, in seconds; None: for ever.

        Returns:
            Whether the caller has a permit now.

        Raises:
            UnreachableError: no Redis answers.
            NameTakenError: the name stands for another kind of thing, or for another count of permits.
        """
        wait = checked_wait(blocking, timeout, forever=None)
        session = self._session
        of = session.identity(self.kind, self.name, self.value)
        return session.acquire(of, lease=self.lease, timeout=wait) is not None

    def release(self, n: int = 1) -> None:
        """Give n permits back, each handed to the first who waits. One round trip a permit.

        Raises:
            LeaseLostError: the caller's lease ran out before; its permit has gone back by itself.
        """
        if n < 1:
            raise ValueError("n must be one or more")
        for _ in range(n):
            self._release_one(bound=None)

    def _release_one(self, bound: int | None) -> None:
        session = self._session
        of = session.identity(self.kind, self.name, self.value)
        hold = session.my_hold(of)
        if hold is not None and session.release(hold) == _scripts.DONE:
            return
        if _scripts.add(session.wire, of, call=session.new_id(), bound=bound) == _scripts.FULL:
            raise ValueError("Semaphore released too many times")

    def unlink(self) -> None:
        """Delete it: permits, waiters and all. Used again, it begins with its first value."""
        session = self._session.checked()
        session.wire.client.delete(*session.identity(self.kind, self.name, self.value).keys)

    def statistics(self) -> Statistics:
        """Who holds permits and who waits, in order."""
        return look(self._session, self.kind, self.name, self.value)

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<interlock.{self.kind} {self.name!r} value={self.value}>"


class BoundedSemaphore(Semaphore):
    """A Semaphore whose count never grows beyond its first value; `threading.BoundedSemaphore` between machines.

    `release` raises `ValueError` where it would. Else as `Semaphore`.
    """

    kind = "BoundedSemaphore"

    def release(self, n: int = 1) -> None:
        """Give n permits back.

        Raises:
            ValueError: nobody holds one.
            LeaseLostError: as in `Semaphore.release`.
        """
        if n < 1:
            raise ValueError("n must be one or more")
        for _ in range(n):
            self._release_one(bound=self.value)
