"""`all_of`: several locks as one, taken in the same order by everybody, so that no two callers wait for each other."""

from collections.abc import Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from interlock._arguments import checked_wait
from interlock._io.deadline import Deadline
from interlock._primitive import Entered
from interlock.errors import NotHeldError, raise_first
from interlock.lock import _BaseLock
from interlock.semaphore import Semaphore


class Named(Protocol):
    """What has a name."""

    name: str


Each = TypeVar("Each", bound=Named)


class Several(Generic[Each]):
    """Some locks, and the order in which everybody takes them: that of their names."""

    def __init__(self, locks: Sequence[Each], kinds: tuple[type, ...]) -> None:
        if not locks:
            raise ValueError("all_of() needs one lock at least")
        for each in locks:
            if not isinstance(each, kinds):
                raise TypeError(
                    "all_of() takes Lock, RLock, Semaphore, BoundedSemaphore, the reader or the writer of an RWLock, "
                    f"all of interlock or all of interlock.aio; not {type(each).__module__}.{type(each).__qualname__}"
                )
        names = [each.name for each in locks]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"all_of() got {twice[0]!r} more than once: give each name once")
        self.locks: tuple[Each, ...] = tuple(locks)
        """The locks, in the order in which they were given."""
        self._in_order = sorted(locks, key=lambda each: each.name)

    @property
    def tokens(self) -> tuple[int | None, ...]:
        """The fencing tokens of the locks, in the order in which they were given; None: not held, or a semaphore's."""
        return tuple(getattr(lock, "token", None) for lock in self.locks)

    def check_held(self) -> None:
        """Raise NotHeldError if one of the locks was not even acquired: a release then gives back none of them."""
        missing = [
            lock for lock in self._in_order if getattr(lock, "token", 0) is None and not getattr(lock, "lost", 0)
        ]
        if missing:
            names = ", ".join(repr(lock.name) for lock in missing)
            raise NotHeldError(f"cannot release all_of(): this process does not hold {names}; it released none of them")

    def __repr__(self) -> str:
        return f"all_of({', '.join(map(repr, self.locks))})"


class MultiLock(Entered, Several[_BaseLock | Semaphore]):
    """Several locks as one; `all_of` makes it."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take all the locks, one after the other. If one cannot be had, give back those that were taken.

        Args:
            blocking: False: the call tries each lock once and does not wait.
            timeout: how long to wait, in seconds, for all of them together; -1: for ever.

        Returns:
            Whether the caller holds all of them now. If not, it holds none.

        Raises:
            UnreachableError: no Redis answers.
        """
        deadline = Deadline(checked_wait(blocking, timeout, forever=-1))
        taken: list[_BaseLock | Semaphore] = []
        try:
            for lock in self._in_order:
                if not lock.acquire(**waiting(deadline)):
                    break
                taken.append(lock)
            else:
                return True
        except BaseException as error:
            give_back(taken, error)
        give_back(taken)
        return False

    def release(self) -> None:
        """Give all the locks back, the last one first, also if one of them cannot be given back.

        Raises:
            NotHeldError: the caller does not hold one of them, and keeps the others. Of a semaphore, nobody can tell.
            LeaseLostError: the lease of one of them ran out before.
        """
        self.check_held()
        give_back(self._in_order)


def all_of(*locks: _BaseLock | Semaphore) -> MultiLock:
    """Return several locks as one lock, which takes all of them.

    >>> from interlock import Lock, all_of
    >>> source, target = Lock(name="account 7"), Lock(name="account 3")
    >>> with all_of(source, target) as both:
    ...     source.locked() and target.locked()
    True

    Two callers that take the same locks one by one, in opposite orders, wait for each other for ever. This one takes
    them in the order of their names, whatever the order in which they are given; so does every other caller, and no
    circle can come about. A caller that dies in between leaves the locks that it has to their leases. (Redisson has
    such a MultiLock, without the order.)

    Args:
        locks: `Lock`, `RLock`, `Semaphore` and `BoundedSemaphore`, and the reader or the writer of an `RWLock`, each
            name once.

    Returns:
        A `MultiLock`: `acquire`, `release`, `with`, and `tokens`, the fencing token of each lock.
    """
    return MultiLock(locks, (_BaseLock, Semaphore))


def waiting(deadline: Deadline) -> dict[str, Any]:
    """Return the arguments of an acquire that waits until then at most."""
    left = deadline.timeout
    return {} if left is None else {"blocking": False} if left == 0 else {"timeout": left}


def give_back(locks: Iterable[_BaseLock | Semaphore], reason: BaseException | None = None) -> None:
    """Release locks, the last one first, whatever each release raises; then raise as `raise_gravest` does."""
    errors = []
    for lock in reversed([*locks]):
        try:
            lock.release()
        except BaseException as error:
            errors.append(error)
    raise_gravest(reason, errors)


def raise_gravest(reason: BaseException | None, errors: Sequence[BaseException]) -> None:
    """Raise the reason why locks were released, or else the gravest of the errors; the others stand in its notes.

    What ends a program, or cancels a coroutine, is graver than any other error.
    """
    ranked = sorted(errors, key=lambda each: isinstance(each, Exception))
    raise_first(ranked if reason is None else [reason, *ranked])
