"""Pages fetched from real servers on loopback: how many at once, how often, how much, and over which connections."""

import asyncio
import email.utils
import os
import socket
import time
import tracemalloc

import pytest
from aiohttp.abc import AbstractResolver
from fetched import QUICK, fetch, limits, outcome
from pages_server import PagesServer
from peers import joined, peers, plain, wait_until

import interlock.aio
from tasks import fetch_pages
from tasks.pages import fetching
from tasks.pages.fetching import Fetcher, fetcher

# --- how many at once ---


def test_pages_of_one_task_are_fetched_at_the_same_time(server):
    """None is answered before all are under way."""
    pages = fetch(*[server.url(f"/page/{n}?at_once=20") for n in range(20)], request=60.0, task=120.0)
    assert {outcome(page) for page in pages} == {(200, None)}
    assert server.most == 20


def test_task_has_no_more_pages_at_once_than_it_may(server):
    fetch(*[server.url(f"/page/{n}?delay=0.05&at_once=3") for n in range(12)], per_task=3)
    assert server.most == 3


def test_worker_has_no_more_connections_at_once_than_it_may(server):
    fetch(*[server.url(f"/page/{n}?delay=0.05&at_once=3") for n in range(12)], connections=3)
    assert server.most == server.connections == 3


def fetch_with_others(urls, parties, prefix):
    if prefix:
        os.environ["INTERLOCK_PREFIX"] = prefix
    with plain() as note:
        note.incr("ready")
        wait_until(lambda: int(note.get("ready")) == parties, what="the start of all")
    assert {outcome(page) for page in fetch(*urls, per_host=3, request=30.0)} == {(200, None)}


@pytest.mark.parametrize(
    ("twin", "prefixes", "most"),
    [
        (None, ("", ""), 3),
        ("one_permit_too_many", ("", ""), 4),
        (None, ("", "interlock:other:"), 6),  # a twin whose limit is of each process, as asyncio.Semaphore's
    ],
    ids=["limit", "one too many", "limit of each process"],
)
def test_limit_of_a_host_holds_over_two_processes(server, twin, prefixes, most):
    parties = [
        ([server.url(f"/page/{name}-{n}?delay=0.15&at_once={most}") for n in range(12)], 2, prefix)
        for name, prefix in zip("ab", prefixes, strict=True)
    ]
    with peers(fetch_with_others, parties, twin=twin) as processes:
        joined(processes)
    assert sum(server.seen.values()) == 24
    assert server.most == most


def test_redirect_counts_for_the_host_that_it_leads_to(server):
    with PagesServer() as other:
        ways = [server.url(f"/to?url={other.url(f'/page/{n}?delay=0.05%26at_once=2')}") for n in range(6)]
        pages = fetch(*ways, per_host=2)
    assert {outcome(page) for page in pages} == {(200, None)}
    assert other.most == 2


# --- attempts ---


def test_server_that_is_busy_is_asked_again(server):
    (page,) = fetch(server.url("/status/503?times=2"), attempts=3)
    assert (*outcome(page), page["attempts"], server.seen["/status/503"]) == (200, None, 3, 3)


@pytest.mark.parametrize(("code", "times"), [(429, 3), (502, 3), (503, 3), (504, 3), (500, 1), (404, 1), (403, 1)])
def test_server_is_asked_so_many_times_by_status(server, code, times):
    (page,) = fetch(server.url(f"/status/{code}"), attempts=3)
    assert (*outcome(page), page["attempts"]) == (code, "status", times)
    assert server.seen[f"/status/{code}"] == times


def test_pause_that_the_server_asks_for_is_made(server):
    then = int(time.time()) + 2
    in_two_seconds = email.utils.formatdate(then, usegmt=True).replace(" ", "%20")
    by_number, by_date = fetch(
        server.url("/status/429?times=1&after=1"), server.url(f"/status/503?times=1&after={in_two_seconds}")
    )
    assert outcome(by_number) == outcome(by_date) == (200, None)
    assert by_number["seconds"] >= 1.0
    assert time.time() >= then


def test_pause_that_is_too_long_ends_the_attempts(server):
    (page,) = fetch(server.url("/status/429?after=3600"))
    assert (*outcome(page), page["attempts"]) == (429, "status", 1)
    assert page["error"]["message"].endswith("asks to wait 3600 s")


def test_no_permit_is_kept_during_a_pause(server):
    busy, page = fetch(server.url("/status/429?times=1&after=1"), server.url("/page/1?delay=0.1"), per_host=1)
    assert outcome(busy) == outcome(page) == (200, None)
    assert page["seconds"] < busy["seconds"]


# --- sizes and time ---


def test_body_that_is_too_large_is_read_no_further(server):
    (page,) = fetch(server.url("/endless"))
    assert outcome(page) == (200, "too large")
    wait_until(lambda: server.broken_off == ["/endless"], what="the server's end of the connection")
    assert server.sent < 20 * 2**20  # what fits into the buffers between


@pytest.mark.parametrize("by", ["gzip", "deflate"])
def test_bomb_is_not_unfolded(server, by):
    fetch(server.url("/page/1"))
    tracemalloc.start()
    try:
        (page,) = fetch(server.url(f"/bomb?by={by}"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert outcome(page) == (200, "too large")
    assert peak < 10 * 2**20  # of 50


def test_task_whose_time_is_over_reports_what_it_has(server):
    pages = fetch(server.url("/page/1"), server.bad_url("/silence"), server.url("/page/2"), request=30.0, task=0.7)
    assert [outcome(page) for page in pages] == [(200, None), (None, "timeout"), (200, None)]
    assert pages[1]["error"]["message"] == "not done in the 0.7 s that a task has for all its pages"
    assert pages[1]["seconds"] < 25


def test_task_that_is_cancelled_leaves_no_permit_and_no_request_behind(server):
    async def main():
        async with Fetcher(limits(request=30.0, per_host=2)) as made:
            running = asyncio.create_task(made.fetch([server.url(f"/page/{n}?delay=20") for n in range(6)]))
            while server.inside < 2:
                await asyncio.sleep(0.01)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            permits = interlock.aio.Semaphore(2, name=f"fetch 127.0.0.1:{server.port}, 2 at once", ttl=3600.0)
            return await permits.statistics()

    left = asyncio.run(main())
    assert (left.holders, left.waiters) == ((), ())
    wait_until(lambda: server.inside == 0, what="the end of the requests")


def test_limit_that_cannot_be_kept_fails_the_task_and_ends_its_requests(server):
    async def main():
        async with Fetcher(limits(request=90.0, task=120.0)) as made, asyncio.timeout(60):
            taken = interlock.aio.Lock(name=f"fetch 127.0.0.1:{server.port}, 20 at once")
            await taken.acquire()
            running = asyncio.create_task(made.fetch([server.bad_url("/silence"), server.url("/hops/1")]))
            with pytest.raises(interlock.NameTakenError):
                await running
            await taken.release()
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


# --- one session a worker ---


class Faulty(AbstractResolver):
    """Fails as nobody has foreseen."""

    async def resolve(self, host, port=0, family=socket.AF_INET):
        raise ZeroDivisionError(host)

    async def close(self):
        pass


def test_unforeseen_error_spoils_no_other_page_and_is_logged(server, caplog):
    pages = fetch(server.url("/page/1"), "http://faulty.example/", server.url("/page/2"), resolver=Faulty())
    assert [outcome(page) for page in pages] == [(200, None), (None, "fault"), (200, None)]
    assert "ZeroDivisionError: faulty.example" in caplog.text


def test_session_serves_task_after_task_over_one_connection(server):
    async def main():
        async with Fetcher(QUICK) as made:
            for n in range(5):
                (page,) = await made.fetch([server.url(f"/page/{n}")])
                assert outcome(page) == (200, None)

    asyncio.run(main())
    assert server.connections == 1


def test_no_cookie_is_kept_for_the_next_task(server):
    async def main():
        async with Fetcher(QUICK) as made:
            for _ in range(2):
                (page,) = await made.fetch(
                    [f"http://localhost:{server.port}/page/1"]
                )  # for addresses, nobody keeps any
                assert outcome(page) == (200, None)

    asyncio.run(main())
    assert len(server.headers) == 2
    assert not any("Cookie" in headers for headers in server.headers)


def test_tasks_of_a_loop_share_a_session_that_ends_with_the_loop(server, monkeypatch):
    monkeypatch.setenv("INTERLOCK_FETCH_NETWORKS", "127.0.0.0/8")

    async def main():
        for _ in range(2):
            (page,) = await fetch_pages([server.url("/page/1")])
            assert outcome(page) == (200, None)
        return await fetcher()

    first, second = asyncio.run(main()), asyncio.run(main())
    assert first is not second
    assert first.session.closed
    assert second.session.closed
    assert not fetching._open
    assert server.connections == 2


# --- the producer ---


@pytest.mark.parametrize(
    ("urls", "error", "text"),
    [
        ("http://a/", TypeError, "urls must be a list of strings, not 'http://a/'"),
        ([1], TypeError, "urls must be a list of strings"),
        (["http://a/"] * 101, ValueError, "urls must be at most 100 URLs, not 101: share them out"),
        (["http://a/" + "a" * 2000], ValueError, "urls must have at most 2,000 characters each, not 2,009"),
    ],
)
def test_wrong_urls_are_an_error_in_the_producer(client, urls, error, text):
    with pytest.raises(error, match=text):
        fetch_pages.delay(urls)
    assert not client.exists("aio", "cpu", "io")
