"""examples/web.py, called as a server calls it, with a real worker behind it."""

import asyncio

import httpx
import pytest
from queue_workers import queue_worker

from examples.web import web


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    with queue_worker(tmp_path_factory.mktemp("worker"), "cpu") as up:
        yield up


def called(*requests):
    """What the service answers to these requests, all sent at once."""

    async def main():
        transport = httpx.ASGITransport(app=web)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60) as client:
            return await asyncio.gather(*(client.request(method, path) for method, path in requests))

    return asyncio.run(main())


def test_requests_wait_for_their_tasks_side_by_side(worker):
    answers = called(*(("POST", f"/squares/{number}?timeout=60") for number in range(20)))
    assert [answer.json()["square"] for answer in answers] == [number**2 for number in range(20)]


def test_wrong_number_is_an_error_of_the_caller_and_enqueues_nothing(client):
    (answer,) = called(("POST", "/primes?stop=-5"))
    assert answer.status_code == 422
    assert "stop must be" in answer.json()["detail"]
    assert not client.exists("cpu")


def test_result_may_be_asked_for_later(worker):
    (sent,) = called(("POST", "/primes?stop=100"))
    assert sent.status_code == 202
    for _ in range(600):  # each waits for a tenth of a second
        (answer,) = called(("GET", f"/primes/{sent.json()['id']}"))
        if answer.json()["state"] == "done":
            break
    assert answer.json()["result"] == 25


def test_worker_that_is_too_slow_is_a_time_out():
    (answer,) = called(("POST", "/squares/3?timeout=0"))
    assert answer.status_code == 504
    assert "has not ended after 0 s" in answer.json()["detail"]
