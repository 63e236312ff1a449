"""`Condition`: a caller waits, under a lock, until another notifies it that something has changed."""

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

from interlock import caller
from interlock._arguments import checked_count, checked_lease, checked_linger, checked_wait, foreign_lock
from interlock._holding.holdings import Hold, lost_text
from interlock._io.deadline import Deadline
from interlock._io.steps import Steps, patiently
from interlock._io.wire import Client
from interlock._primitive import Primitive, blocking, steps_of, who
from interlock._protocol import scripts
from interlock._protocol.scripts import Resource
from interlock.errors import LeaseLostError, NotHeldError
from interlock.lock import Lock, RLock

Found = TypeVar("Found")
WHY_OURS = "to wait is to release the lock and to queue, in one step in Redis"


@dataclass(frozen=True)
class ConditionStatistics:
    """A look at a Condition, as Redis saw it at one moment."""

    name: str
    lock: str  # the name of its lock
    waiters: tuple[str, ...]  # host:pid and task of each, in order of arrival


class Condition(Primitive):
    """A place to wait until the state that a lock guards has changed; `threading.Condition` between machines.

    >>> import interlock, threading
    >>> lock = interlock.RLock()
    >>> ready, orders = interlock.Condition(lock), interlock.Value("i", 0, lock=lock)
    >>> def cook():
    ...     with ready:
    ...         orders.value += 1
    ...         ready.notify()
    >>> with ready:
    ...     threading.Thread(target=cook).start()
    ...     ready.wait_for(lambda: orders.value > 0, timeout=10)
    True

    A call of `wait` stores what the caller wrote under the lock, gives the lock up and joins the queue of the
    condition, all in one step. `notify` moves waiters to the wait queue of the lock, in order of arrival: none wakes up
    before it has the lock. Redis passes over a waiter that has died. If a notified waiter dies before it has the lock,
    Redis passes the notification on to another waiter.

    Differs from `threading.Condition`: it has a name, and all conditions of one name with one lock are one; the lock
    may be None, an `interlock.Lock` or an `interlock.RLock`, and any other object with `acquire` and `release` raises
    `TypeError`, because Redis itself has to release the lock; the caller itself must hold the lock, as `threading` asks
    of an RLock. As in `threading`, test again what you wait for when `wait` returns (or use `wait_for`): a waiter that
    was silent for some seconds, or lost its connection, may have missed a notification, so Interlock wakes it in any
    case. If the lease of the lock is over meanwhile, `LeaseLostError` says so.

    Args:
        lock: the lock to wait under; None: an RLock of its own.
        name: None: a fresh unique one.
        client: a `redis.Redis` or `redis.cluster.RedisCluster`, for a lock of its own; None: from `REDIS_URL`.
        lease, linger: for a lock of its own, as in `Lock`.

    Costs one round trip to begin to wait and one to notify. After that, a waiter waits for the hand-over of the lock.
    """

    kind = "Condition"

    def __init__(
        self,
        lock: Lock | RLock | None = None,
        *,
        name: str | None = None,
        client: Client | None = None,
        lease: float = 30.0,
        linger: float | None = None,
    ) -> None:
        super().__init__(name, client)
        if lock is None:
            lock = RLock(name=self.name, client=client, lease=lease, linger=linger)
        elif not isinstance(lock, Lock | RLock):
            raise foreign_lock(lock, "None, an interlock.Lock or an interlock.RLock", WHY_OURS)
        else:
            checked_lease(lease)
            checked_linger(linger)
        self._lock, self._client = lock, lock._client
        self.acquire = lock.acquire
        self.release = lock.release

    def parameters(self) -> dict[str, Any]:
        return {"name": self.name, "lock": {"kind": self._lock.kind, **self._lock.parameters()}}

    @classmethod
    def attached(cls, **parameters: Any) -> Self:
        lock = dict(parameters["lock"])
        return cls(Lock(**lock) if lock.pop("kind") == Lock.kind else RLock(**lock), name=parameters["name"])

    def get_lock(self) -> Lock | RLock:
        """Return its lock, to guard values with: `Value("i", 0, lock=condition.get_lock())`. `threading` has none."""
        return self._lock

    @property
    def _resource(self) -> Resource:
        return self._session.resource(self._lock.kind, self._lock.name)

    @blocking
    def wait(self, timeout: float | None = None) -> Steps[bool]:
        """Give the lock up, wait for a notification, and take the lock again, after all that queued for it before.

        Args:
            timeout: seconds to wait for the notification; None: for ever. The call then waits for the lock without a
                limit.

        Returns:
            Whether the caller was notified.

        Raises:
            NotHeldError: the caller does not hold the lock.
            LeaseLostError: the lease was over before; the caller did not wait, and does not hold the lock.
            GoneError: a value that the caller wrote under the lock exists no longer; the caller did not wait, and does
                not hold the lock.
            UnreachableError: Redis did not answer until the lease was over.
        """
        limit = None if timeout is None else checked_wait(True, max(0.0, timeout), forever=None)
        hold = self._held("wait on")
        return (yield from self._session.conditions.wait(hold.resource, caller.owner(), self.name, limit))

    @blocking
    def wait_for(self, predicate: Callable[[], Found], timeout: float | None = None) -> Steps[Found]:
        """Wait until the predicate, which the caller calls under the lock, is true.

        Args:
            predicate: a function without arguments, called at first, and again after each notification.
            timeout: seconds to wait for notifications in all; None: for ever.

        Returns:
            What the predicate returned last: a false value if the time is over.
        """
        deadline = Deadline(timeout)
        while not (found := predicate()):
            if deadline.over:
                break
            yield from steps_of(self.wait)(deadline.left)
        return found

    @blocking
    def notify(self, n: int = 1) -> Steps[None]:
        """Let the first n waiters have the lock, one after the other, when it is released; none if n is not positive.

        Raises:
            NotHeldError: the caller does not hold the lock.
            LeaseLostError: the lease is over; the call has notified no waiter.
            UnreachableError: Redis did not answer until the lease was over.
        """
        n = int(n) if isinstance(n, bool) else checked_count("n", n)
        yield from self._notify(max(0, n))

    @blocking
    def notify_all(self) -> Steps[None]:
        """Let all waiters have the lock, one after the other, when it is released. Raises what `notify` raises."""
        yield from self._notify(None)

    def _notify(self, n: int | None) -> Steps[None]:
        hold = self._held("notify on")
        yield from self._session.lingering.commit_all()
        holdings = self._session.holdings
        call = holdings.new_id()
        code = yield from patiently(
            lambda: scripts.condition_notify(
                hold.resource, id=hold.id, token=hold.token, call=call, condition=self.name, n=n
            ),
            hold.deadline,
        )
        holdings.end_id(call)
        if code == scripts.LOST:
            raise LeaseLostError(lost_text(hold))

    def _held(self, what: str) -> Hold:
        hold = self._lock._releasable()
        if hold is None:
            raise NotHeldError(f"cannot {what} the Condition {self.name!r}: the caller does not hold its lock")
        return hold

    @blocking
    def statistics(self) -> Steps[ConditionStatistics]:
        """Return who waits for a notification, in order."""
        yield from self._session.checked()
        found = yield from scripts.look(self._resource, condition=self.name)
        return ConditionStatistics(self.name, self._lock.name, tuple(who(id) for id in found.condition))

    def __enter__(self) -> bool:
        return self._lock.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.__exit__(kind, error, trace)

    def __repr__(self) -> str:
        return f"<interlock.Condition {self.name!r} of {self._lock!r}>"
