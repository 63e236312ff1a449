"""`all_of` for coroutines: several locks as one."""

from collections.abc import Iterable
from types import TracebackType
from typing import Any

from interlock._arguments import checked_wait
from interlock._io.deadline import Deadline
from interlock.aio.locks import Semaphore, _Lock
from interlock.errors import InterlockError
from interlock.multilock import Several, raise_first, waiting


class MultiLock(Several[_Lock | Semaphore]):
    """`interlock.MultiLock` for coroutines; `all_of` makes it."""

    async def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take all the locks, as the twin does. If one cannot be had, give back those that were taken.

        Args:
            blocking: False: the call tries each lock once and does not wait.
            timeout: how long to wait, in seconds, for all of them together; -1: for ever.

        Returns:
            Whether the caller holds all of them now. If not, it holds none.
        """
        deadline = Deadline(checked_wait(blocking, timeout, forever=-1))
        taken: list[_Lock | Semaphore] = []
        try:
            for lock in self._in_order:
                if not await lock.acquire(**waiting(deadline)):
                    break
                taken.append(lock)
            else:
                return True
        except BaseException:  # a cancelled coroutine gives back as well
            await give_back(taken)
            raise
        await give_back(taken)
        return False

    async def release(self) -> None:
        """Give all the locks back, the last one first, also if one of them cannot be given back."""
        await give_back(self._in_order)

    async def __aenter__(self) -> bool:
        return await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.release()


def all_of(*locks: Any) -> MultiLock:
    """Return several locks as one lock, as `interlock.all_of` does.

    Args:
        locks: those of this module, each name once.
    """
    return MultiLock(locks, (_Lock, Semaphore))


async def give_back(locks: Iterable[_Lock | Semaphore]) -> None:
    """Release locks, the last one first; raise the first error when all are done."""
    errors = []
    for lock in reversed([*locks]):
        try:
            await lock.release()
        except InterlockError as error:
            errors.append(error)
    raise_first(errors)
