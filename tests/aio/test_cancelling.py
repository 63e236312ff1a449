"""A coroutine that is cancelled while it waits leaves the queue clean."""

import asyncio
import random
import threading

import pytest
from coroutines import waiting
from peers import wait_until

import interlock
from interlock import aio
from interlock._io.steps import ended, run
from interlock._session.process import session
from interlock.aio import _driver


async def cancel(*tasks):
    for task in tasks:
        task.cancel()
    return await asyncio.gather(*tasks, return_exceptions=True)


def holdings():
    """What this process holds and waits for."""
    of = session(None).holdings
    return [*of.waits.values(), *of.sleepers.values(), *of.holds.values()]


async def occupied(kind):
    """A thing of that kind for which one has to wait, how to wait for it, and how to set it free."""
    if kind in ("Lock", "RLock", "Semaphore", "BoundedSemaphore"):
        thing = getattr(aio, kind)()
        await thing.acquire()
        return thing, thing.acquire, thing.release
    if kind == "RWLock":
        thing = aio.RWLock()
        writer = thing.writer
        await writer.acquire()
        return thing, thing.reader.acquire, writer.release
    if kind == "Event":
        thing = aio.Event()
        return thing, thing.wait, thing.set
    if kind == "Queue.get":
        thing = aio.Queue()
        return thing, thing.get, lambda: thing.put(1)
    if kind == "Queue.put":
        thing = aio.Queue(1)
        await thing.put(1)
        return thing, lambda: thing.put(2), thing.get
    raise AssertionError(kind)


KINDS = ("Lock", "RLock", "Semaphore", "BoundedSemaphore", "RWLock", "Event", "Queue.get", "Queue.put")


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_cancelled_waiter_leaves_the_queue(kind, broken, monkeypatch):
    kept = []
    if broken:  # the twin: what was cancelled is only forgotten

        async def forgotten(self, cancelled):
            kept.append(self)
            raise cancelled

        monkeypatch.setattr(_driver._Walk, "_walk_on", forgotten)

    async def main():
        thing, wait, free = await occupied(kind)
        task = asyncio.create_task(wait())
        await waiting(thing)
        assert isinstance((await cancel(task))[0], asyncio.CancelledError)
        seen = await thing.statistics()
        left = seen.waiters if hasattr(seen, "waiters") else (*seen.getters, *seen.putters)
        assert bool(left) == broken
        if not broken:
            task = asyncio.create_task(wait())
            await waiting(thing)
            await free()
            assert await asyncio.wait_for(task, 60) is not False
            if hasattr(thing, "unlink"):
                await thing.unlink()

    asyncio.run(main())
    for walk in kept:
        with pytest.raises(asyncio.CancelledError):
            run(walk._steps, session(None).call, asyncio.CancelledError())
    assert not session(None).holdings.waits
    assert not session(None).holdings.sleepers


def test_waiter_behind_one_that_was_cancelled_is_next():
    async def main():
        lock, entered = aio.Lock(), []

        async def enter(name):
            async with lock:
                entered.append(name)

        await lock.acquire()
        tasks = []
        for many, name in enumerate("abcd", 1):
            tasks.append(asyncio.create_task(enter(name)))
            await waiting(lock, many)
        await cancel(tasks[0], tasks[2])
        await lock.release()
        await asyncio.gather(tasks[1], tasks[3])
        assert entered == ["b", "d"]

    asyncio.run(main())


@pytest.mark.parametrize("seed", range(4))
def test_cancelled_at_any_moment_nobody_holds_or_waits_in_the_end(seed):
    """Some are cancelled before they ask, some while they wait, some with the grant on its way, some inside."""
    before = holdings()
    chance = random.Random(seed)

    async def main():
        lock, slots, inside, most = aio.Lock(), aio.Semaphore(2), 0, 0

        async def enter():
            nonlocal inside, most
            async with slots, lock:
                inside += 1
                most = max(most, inside)
                try:
                    await asyncio.sleep(0)
                finally:
                    inside -= 1

        for _ in range(15):
            tasks = [asyncio.create_task(enter()) for _ in range(12)]
            for task in chance.sample(tasks, 6):
                await asyncio.sleep(chance.random() * 0.004)
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        assert most == 1
        assert inside == 0
        for thing in (lock, slots):
            seen = await thing.statistics()
            assert (seen.holders, seen.waiters) == ((), ())
        assert await lock.acquire(timeout=25)
        await lock.release()

    asyncio.run(main())
    assert [each for each in holdings() if each not in before] == []


def test_cancelled_again_while_it_leaves_it_leaves_all_the_same():
    async def main():
        lock = aio.Lock()
        await lock.acquire()
        task = asyncio.create_task(lock.acquire())
        await waiting(lock)
        for _ in range(5):
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.gather(task, return_exceptions=True)
        assert (await lock.statistics()).waiters == ()
        await lock.release()

    asyncio.run(main())


def test_waiter_for_a_condition_that_is_cancelled_has_the_lock_again_first():
    async def main():
        condition = aio.Condition()
        inside = []

        async def wait():
            async with condition:
                try:
                    await condition.wait()
                except asyncio.CancelledError:
                    inside.append(condition._lock.token)
                    raise

        task = asyncio.create_task(wait())
        await waiting(condition)
        await condition.acquire()
        task.cancel()
        await asyncio.sleep(0.05)
        assert not inside, "another holds it"
        await condition.release()
        await asyncio.gather(task, return_exceptions=True)
        assert inside[0] > 0
        assert not await condition._lock.locked()
        assert (await condition.statistics()).waiters == ()

    asyncio.run(main())


def test_cancelled_party_breaks_the_barrier():
    async def main():
        barrier = aio.Barrier(3)
        tasks = [asyncio.create_task(barrier.wait()) for _ in range(2)]
        await waiting(barrier, 2)
        await cancel(tasks[0])
        with pytest.raises(threading.BrokenBarrierError):
            await tasks[1]

    asyncio.run(main())


def test_time_out_of_asyncio_ends_the_wait():
    async def main():
        lock = aio.Lock()
        async with lock:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await lock.acquire()
            assert (await lock.statistics()).waiters == ()

    asyncio.run(main())


def test_waiter_whose_loop_was_closed_passes_the_lock_on():
    """Its turn comes, and nobody is there to enter: a thread takes the steps that are left."""
    before, lock, other = holdings(), interlock.Lock(lease=120, linger=0), []
    lock.acquire()
    loop = asyncio.new_event_loop()
    other.append(loop.create_task(aio.Lock.of(lock).acquire()))
    loop.run_until_complete(asyncio.sleep(0.1))
    wait_until(lambda: lock.statistics().waiters)
    loop.close()
    lock.release()
    assert lock.acquire(timeout=60), "far less than the lease"
    lock.release()
    assert [each for each in holdings() if each not in before] == []
    other[0]._log_destroy_pending = False


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 20])
def test_call_whose_loop_was_closed_amid_it_keeps_no_lock(client, turns):
    """Redis has queued the waiter; its coroutine has not read the answer, or has read a part of it."""
    before, lock = holdings(), interlock.Lock(lease=120, linger=0)
    lock.acquire()
    loop = asyncio.new_event_loop()
    task = loop.create_task(aio.Lock.of(lock).acquire())
    while not client.exists(f"interlock:{{{lock.name}}}:queue"):
        loop.run_until_complete(asyncio.sleep(0))
    for _ in range(turns):
        loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    lock.release()
    assert lock.acquire(timeout=60), "far less than the lease"
    lock.release()
    assert [each for each in holdings() if each not in before] == []
    task._log_destroy_pending = False


def test_steps_that_have_ended_are_told_from_those_that_have_not():
    def procedure():
        yield ("PING",)

    steps = procedure()
    assert not ended(steps)
    next(steps)
    assert not ended(steps)
    assert next(steps, None) is None
    assert ended(steps)


def test_waiter_that_is_notified_and_cancelled_passes_the_notification_on_and_had_the_lock_again():
    """As in asyncio since Python 3.13."""

    async def main():
        condition, woken = aio.Condition(), []

        async def wait(name):
            async with condition:
                await condition.wait()
                woken.append(name)

        tasks = []
        for name in ("first", "second"):
            tasks.append(asyncio.create_task(wait(name)))
            while len((await condition.statistics()).waiters) < len(tasks):
                await asyncio.sleep(0.001)
        async with condition:
            await condition.notify()
            tasks[0].cancel()
        first, second = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)
        assert isinstance(first, asyncio.CancelledError), first
        assert second is None
        assert woken == ["second"]

    asyncio.run(main())
