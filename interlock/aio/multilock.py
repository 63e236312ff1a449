"""`all_of` for coroutines: several locks as one."""

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from interlock._arguments import checked_wait
from interlock._io.deadline import Deadline
from interlock.aio._driver import coroutine, coroutine_function, running, standing_in
from interlock.aio.locks import Semaphore, _Entered, _Lock
from interlock.multilock import Several, raise_gravest, waiting

Result = TypeVar("Result")


class MultiLock(_Entered, Several[_Lock | Semaphore]):
    """`interlock.MultiLock` for coroutines; `all_of` makes it."""

    @coroutine_function
    def acquire(self, blocking: bool = True, timeout: float = -1) -> Coroutine[Any, Any, bool]:
        """Take all the locks, as the twin does. If one cannot be had, give back those that were taken.

        Args:
            blocking: False: the call tries each lock once and does not wait.
            timeout: how long to wait, in seconds, for all of them together; -1: for ever.

        Returns:
            Whether the caller holds all of them now. If not, or if it is cancelled, it holds none.
        """
        return _standing_in(running(), lambda: self._acquire(blocking, timeout))

    async def _acquire(self, blocking: bool, timeout: float) -> bool:
        deadline = Deadline(checked_wait(blocking, timeout, forever=-1))
        taken: list[_Lock | Semaphore] = []
        try:
            for lock in self._in_order:
                if not await lock.acquire(**waiting(deadline)):
                    break
                taken.append(lock)
            else:
                return True
        except GeneratorExit:  # no coroutine is left that could await a release
            raise
        except BaseException as error:
            await give_back(taken, error)
        await give_back(taken)
        return False

    @coroutine_function
    def release(self) -> Coroutine[Any, Any, None]:
        """Give all the locks back, the last one first, whatever happens to one of them or to this coroutine."""
        return _standing_in(running(), self._release)

    async def _release(self) -> None:
        self.check_held()
        await give_back(self._in_order)


def all_of(*locks: Any) -> MultiLock:
    """Return several locks as one lock, as `interlock.all_of` does.

    Args:
        locks: those of this module, each name once.
    """
    return MultiLock(locks, (_Lock, Semaphore))


async def _standing_in(called_by: Any, call: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Run the call for the coroutine that made it, also where `asyncio.wait_for` makes a task of it."""
    with standing_in(coroutine(called_by)):
        return await call()


async def give_back(locks: Iterable[_Lock | Semaphore], reason: BaseException | None = None) -> None:
    """Release locks, the last one first, whatever each release raises; then raise as `raise_gravest` does.

    A release that is cancelled does its work before it raises, so this goes on to the next one.
    """
    errors = []
    for lock in reversed([*locks]):
        try:
            await lock.release()
        except GeneratorExit:
            raise
        except BaseException as error:
            errors.append(error)
    raise_gravest(reason, errors)
