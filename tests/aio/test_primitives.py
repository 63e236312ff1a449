"""The primitives for coroutines: they do what their twins for threads do, and with them."""

import asyncio
import importlib
import json
import os
import pickle
import pkgutil
import threading
import time

import pytest
import redis.asyncio
import twins
from peers import joined, peers, wait_until
from test_cancelling import until, waiting

import interlock
from interlock import aio
from interlock._session.process import session


@pytest.mark.parametrize("module", [each.name for each in pkgutil.iter_modules(aio.__path__)])
def test_examples_in_docstrings_are_true(module):
    import doctest

    assert doctest.testmod(importlib.import_module(f"interlock.aio.{module}")).failed == 0


def test_names_are_those_for_threads():
    kinds = {name for name in interlock.__all__ if isinstance(getattr(interlock, name), type)}
    others = {"Caller", *(name for name in kinds if name.endswith("Error"))}
    assert set(aio.__all__) == (kinds - others) | {"Pipe"}


# --- locks ---


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


# --- signals ---


def test_event_wakes_coroutines_and_threads():
    async def main():
        ready = aio.Event()
        plain = interlock.Event(name=ready.name)
        waits = [*(ready.wait() for _ in range(5)), asyncio.to_thread(plain.wait)]
        gathered = asyncio.gather(*waits)
        await waiting(ready, 6)
        await ready.set()
        assert await gathered == [True] * 6
        await ready.clear()
        assert not await ready.wait(0.05)

    asyncio.run(main())


def test_barrier_runs_its_action_beside_the_loop():
    async def main():
        ran = []
        barrier = aio.Barrier(3, lambda: ran.append(threading.current_thread() is threading.main_thread()))
        assert sorted(await asyncio.gather(*(barrier.wait() for _ in range(3)))) == [0, 1, 2]
        assert ran == [False]
        assert await barrier.n_waiting() == 0
        await barrier.abort()
        assert await barrier.broken()
        await barrier.reset()
        assert barrier.parties == 3

    asyncio.run(main())


# --- values ---


async def count(counter, times, under_the_lock):
    for _ in range(times):
        if under_the_lock:
            async with counter.get_lock():
                await counter.set(await counter.get() + 1)
        else:
            await counter.set(await counter.get() + 1)


def count_in_a_loop(counter, times, under_the_lock):
    async def main():
        await asyncio.gather(*(count(counter, times, under_the_lock) for _ in range(4)))

    asyncio.run(main())


@pytest.mark.parametrize("under_the_lock", [True, False])
def test_counter_is_exact_under_its_lock_and_not_without(under_the_lock):
    async def made():
        return await (aio.Value("i", 0) if under_the_lock else aio.RawValue("i", 0))

    counter = asyncio.run(made())
    with peers(count_in_a_loop, [(counter, 10, under_the_lock)] * 2) as processes:
        joined(processes)
    found = asyncio.run(counter.get())
    assert (found == 80) == under_the_lock
    asyncio.run(counter.unlink())


def test_value_is_created_once_by_whoever_uses_it_first():
    async def main():
        counter = aio.Value("i", 5)
        assert await asyncio.gather(*(counter.get() for _ in range(10))) == [5] * 10
        assert await counter.exchange(7) == 5
        with pytest.raises(interlock.NameTakenError):
            await aio.Value("d", 0, name=counter.name)
        assert interlock.Value("i", 0, name=counter.name).value == 7
        with pytest.raises(TypeError):
            await counter.set("x")
        await counter.unlink()
        with pytest.raises(interlock.GoneError):
            await counter.get()

    asyncio.run(main())


def test_array_under_its_lock():
    async def main():
        seats = aio.Array("i", 3)
        async with seats.get_lock():
            await seats.set(0, 1)
            await seats.set(slice(1, 3), [2, 3])
            assert await interlock_array(seats) == [0, 0, 0]
        assert await seats.get(slice(None)) == [1, 2, 3]
        assert len(seats) == 3
        raw = aio.RawArray("c", b"abc")
        assert await raw.get(1) == b"b"
        assert await raw.get(slice(0, 2)) == b"ab"

    async def interlock_array(seats):
        return await asyncio.to_thread(lambda: interlock.Array("i", 3, name=seats.name)[:])

    asyncio.run(main())


# --- queues ---


def test_items_go_between_coroutines_and_threads_in_order():
    async def main():
        jobs = aio.JoinableQueue(2)
        plain = interlock.JoinableQueue(2, name=jobs.name)

        async def produce():
            for number in range(10):
                await jobs.put(number)

        def consume():
            got = []
            for _ in range(10):
                got.append(plain.get())
                plain.task_done()
            return got

        _, got = await asyncio.gather(produce(), asyncio.to_thread(consume))
        assert got == list(range(10))
        await asyncio.wait_for(jobs.join(), 60)
        assert (await jobs.qsize(), await jobs.empty(), await jobs.full(), jobs.maxsize) == (0, True, False, 2)
        jobs.close()
        with pytest.raises(ValueError, match="closed"):
            await jobs.put(1)

    asyncio.run(main())


def test_pipe_carries_messages_both_ways():
    async def main():
        here, there = aio.Pipe()
        await here.send({"question": 6})
        assert await there.poll()
        assert await there.recv() == {"question": 6}
        waiting_for = asyncio.create_task(here.recv())
        await there.send(42)
        assert await waiting_for == 42
        async with there:
            await there.send_bytes(b"last")
        assert await here.recv_bytes() == b"last"
        with pytest.raises(EOFError):
            await here.recv()
        await here.close()
        assert (here.closed, here.readable, here.writable) == (True, True, True)
        simple = aio.SimpleQueue()
        await simple.put([1])
        assert await simple.get() == [1]

    asyncio.run(main())


# --- objects ---


def every_kind():
    lock = aio.Lock()
    return [
        lock, aio.RLock(), aio.RWLock(), aio.Semaphore(2), aio.BoundedSemaphore(2), aio.Condition(), aio.Event(),
        aio.Barrier(2), aio.Queue(3), aio.JoinableQueue(), aio.SimpleQueue(), *aio.Pipe(), aio.Value("i", 0),
        aio.Value("q", 0, lock=lock), aio.RawValue("d", 0), aio.Array("i", 2), aio.RawArray("i", 2),
    ]  # fmt: skip


def test_objects_pickle_and_pass_through_json():
    from kombu.utils.json import dumps, loads

    interlock.register_with_kombu()
    for thing in every_kind():
        for arrived in (pickle.loads(pickle.dumps(thing)), loads(dumps(thing))):
            assert type(arrived) is type(thing)
            assert arrived.parameters() == thing.parameters()
            assert arrived.name == thing.name
            assert thing.name in repr(arrived)


def test_of_makes_one_for_coroutines_of_one_for_threads():
    counter = interlock.Value("i", 3)
    assert asyncio.run(aio.Value.of(counter).get()) == 3
    with pytest.raises(TypeError, match=r"aio\.Lock\.of takes an interlock\.Lock"):
        aio.Lock.of(counter)
    json.dumps(aio.Value.of(counter).parameters())


def test_object_serves_one_event_loop_after_the_other():
    lock, plain = aio.Lock(), interlock.Lock()

    async def enter():
        async with lock:
            return lock.token

    tokens = [asyncio.run(enter()) for _ in range(3)]
    assert tokens == sorted(set(tokens))
    del plain


def test_connections_are_closed_with_the_loop(client):
    async def ask():
        await asyncio.gather(*(aio.Lock().locked() for _ in range(10)))
        return len(client.client_list())

    with interlock.Lock():
        pass
    before = len(client.client_list())
    assert asyncio.run(ask()) > before
    wait_until(lambda: len(client.client_list()) <= before, what="the end of its connections")


def test_client_that_is_none_of_asyncio_is_refused():
    with pytest.raises(TypeError, match=r"client must be a redis\.asyncio\.Redis, .* or None, not Redis"):
        aio.Lock(client=redis.Redis())


def test_client_of_asyncio_shares_one_session():
    async def main():
        own = redis.asyncio.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)
        first, second = aio.Lock(client=own), aio.Semaphore(client=own)
        async with first, second:
            assert first._session is second._session
            assert first._session is not session(None)
        await own.aclose()

    asyncio.run(main())


def test_value_that_a_coroutine_unlinks_is_gone_for_the_threads_of_its_process():
    value = interlock.Value("i", 0, linger=10)
    with value.get_lock():
        value.value = 1
    asyncio.run(aio.Value.of(value).unlink())
    with pytest.raises(interlock.GoneError):
        _ = value.value
