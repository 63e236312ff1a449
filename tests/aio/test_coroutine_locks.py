"""The locks for coroutines: they do what their twins for threads do, and with them."""

import asyncio
import os
import threading
import time

import pytest
import redis.asyncio
from coroutines import until, waiting
from mutants import twins

import interlock
from interlock import aio


@pytest.mark.parametrize("twin", [None, "grants_though_held"])
def test_coroutines_and_threads_exclude_each_other(client, twin):
    lock = interlock.Lock()
    most, inside, mutex = 0, 0, threading.Lock()

    def enter():
        nonlocal most, inside
        with mutex:
            inside += 1
            most = max(most, inside)

    def leave():
        nonlocal inside
        with mutex:
            inside -= 1

    def in_threads():
        for _ in range(20):
            with lock:
                enter()
                time.sleep(0.001)
                leave()

    async def coroutine(own):
        for _ in range(5):
            async with own:
                enter()
                await asyncio.sleep(0.001)
                leave()

    async def main():
        own = aio.Lock.of(lock)
        await asyncio.gather(*(coroutine(own) for _ in range(10)), asyncio.to_thread(in_threads))

    with twins.in_force(twin):
        if twin is None:
            asyncio.run(main())
            assert most == 1
        else:
            with pytest.raises((AssertionError, interlock.InterlockError)):
                asyncio.run(main())
                assert most == 1


def test_first_come_first_served_among_coroutines():
    async def main():
        lock, entered = aio.Lock(), []

        async def enter(number):
            async with lock:
                entered.append(number)

        await lock.acquire()
        tasks = []
        for number in range(8):
            tasks.append(asyncio.create_task(enter(number)))
            await waiting(lock, number + 1)
        await lock.release()
        await asyncio.gather(*tasks)
        assert entered == list(range(8))

    asyncio.run(main())


def test_busy_event_loop_loses_no_lease():
    async def main():
        lock, other = aio.Lock(lease=0.6), aio.Lock(lease=0.6)
        async with lock:
            token = lock.token
            time.sleep(2.0)
            assert not lock.lost
            assert lock.token == token
            assert lock.deadline > time.monotonic()
            assert not await interlock_try(lock)
        async with other:
            pass
        assert not await lock.locked()

    async def interlock_try(lock):
        return await aio.Lock(name=lock.name).acquire(blocking=False)

    asyncio.run(main())


@pytest.mark.parametrize("twin", [False, True])
def test_no_call_blocks_the_event_loop(monkeypatch, twin):
    """All of redis-py's blocking connections are used by other threads, also at first use, and when it is cancelled."""
    senders, real = set(), redis.connection.AbstractConnection.send_packed_command

    def noted(self, *arguments, **options):
        senders.add(threading.get_ident())
        return real(self, *arguments, **options)

    async def main():
        own = redis.asyncio.Redis.from_url(os.environ["REDIS_URL"])
        lock, jobs, counter = aio.Lock(client=own), aio.Queue(client=own), await aio.Value("i", 0, client=own)

        async def enter():
            async with lock, counter.get_lock():
                await counter.set(await counter.get() + 1)
                await jobs.put(1)

        tasks = [asyncio.create_task(enter()) for _ in range(20)]
        await asyncio.sleep(0.01)
        tasks[-1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await jobs.get()
        await jobs.unlink()
        await aio.Barrier(1, lambda: None, client=own).wait()
        if twin:
            interlock.Lock().locked()
        await own.aclose()

    monkeypatch.setattr(redis.connection.AbstractConnection, "send_packed_command", noted)
    asyncio.run(main())
    assert (threading.get_ident() in senders) == twin


def test_thousand_coroutines_wait_on_one_lock_with_few_connections(client):
    async def main():
        lock, done = aio.Lock(), []

        async def enter():
            async with lock:
                done.append(1)

        before = int(client.info("clients")["connected_clients"])
        await lock.acquire()
        tasks = [asyncio.create_task(enter()) for _ in range(1000)]
        await until(
            lambda: enough(lock),
        )
        assert int(client.info("clients")["connected_clients"]) - before < 40
        await lock.release()
        await asyncio.gather(*tasks)
        assert len(done) == 1000

    async def enough(lock):
        return len((await lock.statistics()).waiters) == 1000

    asyncio.run(main())


def test_rlock_belongs_to_a_coroutine():
    async def main():
        lock = aio.RLock()
        async with lock, lock:
            assert not await asyncio.create_task(lock.acquire(blocking=False)), "another coroutine"
            with pytest.raises(interlock.NotHeldError):
                await asyncio.create_task(lock.release())
            assert await lock.locked()
        assert not await lock.locked()

    asyncio.run(main())


def test_blocking_rlock_in_a_coroutine_belongs_to_its_thread():
    async def main():
        lock = interlock.RLock()
        with lock:
            assert not await aio.RLock.of(lock).acquire(blocking=False)
            with lock:
                assert lock.token

    asyncio.run(main())


def test_readers_together_and_writers_alone():
    async def main():
        prices = aio.RWLock()
        async with prices.reader:
            assert await asyncio.create_task(prices.reader.acquire())
            assert not await asyncio.create_task(prices.writer.acquire(blocking=False))
            await prices.reader.release()
        seen = await prices.statistics()
        if seen.holders:
            await prices.break_lock()
        async with prices.writer:
            assert prices.writer.token > 0

    asyncio.run(main())


def test_lost_lease_is_told():
    async def main():
        lock = aio.Lock(lease=5)
        await lock.acquire()
        assert await aio.Lock(name=lock.name).break_lock()
        with pytest.raises(interlock.LeaseLostError):
            await lock.release()
        assert lock.lost

    asyncio.run(main())


def test_semaphore_lets_so_many_in():
    async def main():
        slots, inside, most = aio.BoundedSemaphore(3), 0, 0

        async def enter():
            nonlocal inside, most
            async with slots:
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0.01)
                inside -= 1

        await asyncio.gather(*(enter() for _ in range(12)))
        assert most == 3
        with pytest.raises(ValueError, match="released too many times"):
            await slots.release()

    asyncio.run(main())


def test_condition_wakes_in_order_and_its_predicate_may_be_awaited():
    async def main():
        lock = aio.Lock()
        condition, orders, served = aio.Condition(lock), await aio.Value("i", 0, lock=lock), []

        async def some():
            return await orders.get() > 0

        async def eat(name):
            async with condition:
                assert await condition.wait_for(some)
                await orders.set(await orders.get() - 1)
                served.append(name)

        tasks = []
        for many, name in enumerate("abc", 1):
            tasks.append(asyncio.create_task(eat(name)))
            await waiting(condition, many)
        for _ in "abc":
            async with condition:
                await orders.set(await orders.get() + 1)
                await condition.notify()
        await asyncio.gather(*tasks)
        assert served == ["a", "b", "c"]
        async with condition:
            assert not await condition.wait(0.05)
            assert not await condition.wait_for(lambda: False, 0.05)
        await orders.unlink()

    asyncio.run(main())
