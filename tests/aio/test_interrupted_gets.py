"""A get that is interrupted while an item is on its way loses none: it is returned, or the first in the queue again."""

import asyncio
import queue as queue_module
import time

import pytest

import interlock
import interlock.aio as aio
from interlock._protocol import queue_scripts

ROUNDS = 300


@pytest.fixture(params=[False, True], ids=["", "twin"])
def broken(request, monkeypatch):
    """The twin leaves the queue and forgets what it was answered."""
    if request.param:
        monkeypatch.setattr(queue_scripts, "give_back", queue_scripts.leave)
    return request.param


async def put_and_cancel(put, get):
    """Put numbers, and cancel each get a little later in its way: before it asks, amid that, when it has the item."""
    got = []
    for number in range(ROUNDS):
        await put(number)
        task = asyncio.create_task(get())
        for _ in range(number % 30):
            await asyncio.sleep(0)
        time.sleep(0.001)  # the loop stands still, so that an answer of Redis lies unread
        task.cancel()
        try:
            got.append(await task)
        except asyncio.CancelledError:
            continue
    return got


async def rest_of(get):
    """What is left, until there is nothing."""
    found = []
    while (item := await get()) is not None:
        found.append(item)
    return found


async def no_more(call, nothing):
    try:
        return await call()
    except nothing:
        return None


def check(got, rest, broken):
    numbers = got + rest
    if broken:
        assert len(numbers) < ROUNDS, "the twin lost nothing: the check cannot fail"
    else:
        assert numbers == list(range(ROUNDS))


def test_cancelled_get_loses_no_item(broken):
    async def main():
        queue = aio.Queue()
        got = await put_and_cancel(queue.put, queue.get)
        rest = await rest_of(lambda: no_more(queue.get_nowait, queue_module.Empty))
        await queue.unlink()
        return got, rest

    check(*asyncio.run(main()), broken)


def test_cancelled_recv_loses_no_message(broken):
    async def main():
        reader, writer = aio.Pipe(duplex=False)
        got = await put_and_cancel(writer.send, reader.recv)
        await writer.close()
        rest = await rest_of(lambda: no_more(reader.recv, EOFError))
        await reader.close()
        await reader.unlink()
        return got, rest

    check(*asyncio.run(main()), broken)


def test_item_that_comes_back_goes_to_who_waits_and_counts_once():
    async def main():
        queue = aio.JoinableQueue()
        for _ in range(50):
            first, second = (asyncio.create_task(queue.get()) for _ in range(2))
            await asyncio.sleep(0.001)
            putting = asyncio.create_task(queue.put("item"))
            await asyncio.sleep(0.001)
            first.cancel()
            await putting
            await asyncio.wait([first])
            if not first.cancelled():  # it had the item before: the second has another
                await queue.put("item")
            assert await asyncio.wait_for(second, 60) == "item"
            for _ in range(1 if first.cancelled() else 2):
                await queue.task_done()
            await asyncio.wait_for(queue.join(), 60)
        await queue.unlink()

    asyncio.run(main())


@pytest.mark.parametrize("kind", [interlock.Queue, interlock.SimpleQueue, interlock.JoinableQueue])
def test_get_of_a_thread_that_is_interrupted_when_redis_has_answered_loses_no_item(kind, broken, monkeypatch):
    """As Ctrl-C does it, between the answer of Redis and the next statement."""
    queue, left = kind(), iter(range(3))
    for number in range(4):
        queue.put(number)
    real = queue_scripts.get

    def get(*arguments, **options):
        answer = yield from real(*arguments, **options)
        if next(left, None) is not None:
            raise KeyboardInterrupt
        return answer

    monkeypatch.setattr(queue_scripts, "get", get)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            queue.get()
    assert queue.get() == (3 if broken else 0)
    queue.unlink()
