"""Enqueuing from an event loop, and waiting there for results, while the loop turns."""

import asyncio
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import celery.exceptions
import pytest
from awkward_tasks import counted, held_up
from calling_tasks import echoes
from kombu.exceptions import OperationalError
from peers import wait_until
from servers import Server

from tasks import app, print_square
from tasks.celery_app import awaitable_results
from workers.local_stack import redis_server
from workers.local_stack.children import ROOT


class Turns:
    """Counts the turns of the event loop, and the longest time between two."""

    async def __aenter__(self):
        self.count, self.longest = 0, 0.0
        self._task = asyncio.create_task(self._turn())
        return self

    async def _turn(self):
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            self.count += 1
            self.longest = max(self.longest, time.monotonic() - before)

    async def __aexit__(self, *_):
        self._task.cancel()


def test_many_coroutines_wait_over_one_subscription(worker, client):
    async def main():
        results = await asyncio.gather(*(counted.aapply_async((0.2,), queue="io") for _ in range(40)))
        answers = [asyncio.create_task(result.aget(timeout=60)) for result in results]
        async with Turns() as turns:
            subscribers = [each for each in client.client_list() if int(each["sub"]) > 1]
            while not (subscribers or all(answer.done() for answer in answers)):
                await asyncio.sleep(0.01)
                subscribers = [each for each in client.client_list() if int(each["sub"]) > 1]
            assert len(subscribers) == 1
            assert await asyncio.gather(*answers) == [result.id for result in results]
        assert turns.count > 10

    asyncio.run(main())


def test_result_that_is_there_already_is_returned(worker):
    result = echoes.apply_async(("done",), queue="io")
    assert result.get(timeout=60) == "done"

    async def main():
        return await app.AsyncResult(result.id).aget(timeout=10)

    assert asyncio.run(main()) == asyncio.run(main()) == "done"


def test_failure_is_raised(worker):
    async def main():
        result = await echoes.aapply_async(("bad", True), queue="io")
        assert isinstance(await result.aget(timeout=60, propagate=False), ValueError)
        with pytest.raises(ValueError, match="bad"):
            await result.aget()

    asyncio.run(main())


def test_wrong_argument_is_refused_and_enqueues_nothing(client):
    async def main():
        with pytest.raises(TypeError, match="num must be"):
            await print_square.adelay("ten")

    asyncio.run(main())
    assert not client.exists("cpu")


def test_wait_ends_in_time_and_may_begin_again(worker, client):
    async def main():
        result = await held_up.aapply_async(queue="io")
        with pytest.raises(celery.exceptions.TimeoutError, match=r"has not ended after 0.2 s"):
            await result.aget(timeout=0.2)
        waiting = asyncio.create_task(result.aget())
        await asyncio.sleep(0)
        waiting.cancel()
        client.rpush("go", 1)
        assert await result.aget(timeout=60) == result.id

    asyncio.run(main())


def test_listener_ends_when_nobody_waits(worker, client, monkeypatch):
    monkeypatch.setattr(awaitable_results, "HEARD_WITHIN", 0.1)

    async def main():
        await (await echoes.aapply_async(("x",), queue="io")).aget(timeout=60)
        while any(task.get_name() == "results" for task in asyncio.all_tasks()):
            await asyncio.sleep(0.01)
        assert await (await echoes.aapply_async(("y",), queue="io")).aget(timeout=60) == "y"

    asyncio.run(main())


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server without workers, at which this process's results are, too."""
    (tmp_path / "redis").mkdir()
    own = Server(tmp_path / "redis")
    monkeypatch.setenv("REDIS_URL", own.url)
    yield own
    own.child.stop(0)


def stored(server, id):
    """Store a result, as a worker does."""
    key = app.backend.get_key_for_task(id)
    text = app.backend.encode(
        {"status": "SUCCESS", "result": "stored", "traceback": None, "children": [], "task_id": id}
    )
    with server.client() as client:
        client.set(key, text)
        return client.publish(key, text)


def test_wait_goes_on_when_redis_is_back(server):
    """Also if the task ended while nobody was subscribed; and the loop turns meanwhile."""

    async def main():
        waiting = asyncio.create_task(app.AsyncResult("away").aget(timeout=60))
        with server.client() as client:
            while not client.pubsub_channels():
                await asyncio.sleep(0.01)
        async with Turns() as turns:
            server.kill()
            await asyncio.to_thread(server.start)
            await asyncio.to_thread(stored, server, "away")
            assert await waiting == "stored"
        assert turns.count > 10

    asyncio.run(main())


def test_redis_away_for_good_is_one_line(server, monkeypatch):
    monkeypatch.setattr(awaitable_results, "OUTAGE_MAX", 0.5)
    server.kill()

    async def main():
        with pytest.raises(OperationalError, match="no Redis answers at") as raised:
            await app.AsyncResult("never").aget()
        assert "\n" not in str(raised.value)

    asyncio.run(main())
    server.start()


def test_sending_does_not_block_the_loop_while_redis_is_away():
    """The thread that sends waits; it ends with one line."""
    code = """
import asyncio, time
from tasks import print_square
async def main():
    turns = 0
    async def turn():
        nonlocal turns
        while True:
            await asyncio.sleep(0.01)
            turns += 1
    turning = asyncio.create_task(turn())
    try:
        await print_square.adelay(1)
    except Exception as error:
        print(turns, type(error).__name__, error)
asyncio.run(main())
"""
    url = f"redis://127.0.0.1:{redis_server.free_port()}/0"
    env = {**os.environ, "REDIS_URL": url}
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=True
    )
    turns, name, text = said.stdout.split(" ", 2)
    assert (name, int(turns) > 5) == ("OperationalError", True)
    assert text.startswith("no Redis answers at")


def test_other_loops_have_listeners_of_their_own(worker):
    def answer():
        async def main():
            return await (await echoes.aapply_async(("mine",), queue="io")).aget(timeout=60)

        return asyncio.run(main())

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda _: answer(), range(6))) == ["mine"] * 6
    wait_until(lambda: not [loop for loop in awaitable_results._listeners if not loop.is_closed()], what="their ends")
