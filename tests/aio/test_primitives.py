"""The primitives for coroutines: they do what their twins for threads do, and with them."""

import asyncio
import importlib
import json
import os
import pickle
import pkgutil
import threading

import pytest
import redis.asyncio
from coroutines import waiting
from peers import joined, peers, wait_until

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
    assert set(aio.__all__) == (kinds - others) | {"Pipe", "all_of"}


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
