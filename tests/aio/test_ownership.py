"""Who owns what a coroutine acquires: its asyncio.Task, also by `asyncio.wait_for`; who may release it afterwards."""

import asyncio
import contextlib
import inspect

import pytest

import interlock
import interlock.aio as aio


async def in_a_task_of_its_own(call):
    return await asyncio.create_task(call)


def run_by_wait_for(call):
    return asyncio.wait_for(call, 60)


WAYS = [run_by_wait_for, in_a_task_of_its_own, asyncio.shield]
MADE = {
    "Lock": aio.Lock,
    "RLock": aio.RLock,
    "Condition": aio.Condition,
    "Condition over a Lock": lambda: aio.Condition(aio.Lock()),
    "writer": lambda: aio.RWLock().writer,
    "reader": lambda: aio.RWLock().reader,
    "Semaphore": aio.Semaphore,
    "BoundedSemaphore": aio.BoundedSemaphore,
    "lock of a Value": lambda: aio.Value("i", 0).get_lock(),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MADE)
def test_what_a_caller_acquires_by_another_task_the_caller_releases(name, way):
    async def main():
        held = MADE[name]()
        for _ in range(2):
            assert await way(held.acquire())
            await held.release()
            assert await way(held.__aenter__())
            await way(held.__aexit__(None, None, None))
        assert await held.acquire(False)  # nobody has it
        await held.release()

    asyncio.run(main())


def test_owner_by_wait_for_enters_again_and_others_wait():
    async def main():
        lock = aio.RLock()
        await run_by_wait_for(lock.acquire())
        assert await lock.acquire(False)
        assert await run_by_wait_for(lock.acquire())
        await run_by_wait_for(lock.release())
        assert await asyncio.create_task(lock.acquire(False)) is False
        assert await asyncio.create_task(try_it(lock)) is False
        await lock.release()
        assert await asyncio.create_task(try_it(lock)) is False
        await run_by_wait_for(lock.release())
        assert await asyncio.create_task(try_it(lock)) is True

    async def try_it(lock):
        if entered := await lock.acquire(False):
            await lock.release()
        return entered

    asyncio.run(main())


def test_what_gathered_calls_acquired_their_caller_releases():
    async def main():
        locks = [aio.RLock(), aio.RLock()]
        assert await asyncio.gather(*(lock.acquire() for lock in locks)) == [True, True]
        for lock in locks:
            await lock.release()
            with pytest.raises(interlock.NotHeldError):
                await lock.release()

    asyncio.run(main())


@pytest.mark.parametrize("way", WAYS)
def test_wait_for_a_condition_by_another_task(way):
    async def main():
        changed, ready = aio.Condition(), []

        async def notify():
            async with changed:
                ready.append(1)
                await changed.notify()

        await way(changed.acquire())
        other = asyncio.create_task(notify())
        assert await way(changed.wait_for(lambda: ready, 60))
        await changed.notify_all()
        await changed.release()
        await other

    asyncio.run(main())


def test_lock_held_across_an_async_fixture_is_torn_down_in_another_task():
    async def main():
        for held in (aio.RLock(), aio.Lock(), aio.Condition()):
            stack = contextlib.AsyncExitStack()
            await asyncio.create_task(stack.enter_async_context(held))
            await asyncio.create_task(stack.aclose())
            assert await held.acquire(False)
            await held.release()

    asyncio.run(main())


def test_nobody_enters_as_an_owner_that_has_ended():
    """The task that acquired it has ended, but its section may go on in the one that waited for it."""

    async def main():
        lock = aio.RLock()

        async def acquire():
            return await lock.acquire()

        assert await asyncio.create_task(acquire())
        assert await lock.acquire(False) is False
        await lock.release()

    asyncio.run(main())


def test_another_coroutine_releases_no_lock_of_one_that_lives():
    async def main():
        lock, held, over = aio.RLock(), asyncio.Event(), asyncio.Event()

        async def hold():
            async with lock:
                held.set()
                await over.wait()

        holder = asyncio.create_task(hold())
        await held.wait()
        with pytest.raises(interlock.NotHeldError):
            await lock.release()
        over.set()
        await holder

    asyncio.run(main())


def test_lock_whose_loop_has_ended_is_released_by_the_next():
    lock = aio.RLock()

    async def acquire():
        await lock.acquire()

    async def release():
        await lock.release()
        assert await lock.acquire(False)
        await lock.release()

    asyncio.run(acquire())
    asyncio.run(release())


def test_methods_are_coroutine_functions_to_asyncio():
    for method in (aio.Lock.acquire, aio.RLock().release, aio.Condition().wait_for, aio.Queue().get):
        assert asyncio.iscoroutinefunction(method) or inspect.iscoroutinefunction(method)
