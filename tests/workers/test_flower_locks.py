"""The pages of locks in Flower, in a browser: who holds, who waits, and the button that breaks a lock."""

import json
import re

import pytest
import redis
from browsers import opened_at
from flowers import LOGIN, answer, asked, flower, ran
from peers import wait_until
from playwright.sync_api import expect

MARKUP = "<script>alert('lock')</script>"


@pytest.fixture
def queue_for_a_semaphore(stack, request):
    """Tasks of which the first holds a semaphore of one permit, and three wait, in this order: their ids.

    The parameter says for how many seconds the first stays inside, and the others.
    """
    name, (first, others) = f"{MARKUP} {request.node.name}", request.param
    code = f"""
import interlock
from tasks import add_item
from interlock import in_use
slots = interlock.Semaphore(1, name={name!r}, ttl=60)
def waiting():
    seen = in_use.look_at(slots.name)
    return (seen.holding, seen.waiting) if seen else (0, 0)
for number in range(4):
    print(add_item.delay("<script>alert('argument')</script>", slots, number, pause={others} if number else {first}).id)
    while waiting() < (1, number): pass
"""
    ids = ran(stack, code)
    yield name, ids
    ran(stack, f"from tasks import app\nfor id in {ids!r}: app.AsyncResult(id).get(timeout=90, propagate=False)")
    ran(stack, f"import interlock\ninterlock.Semaphore(1, name={name!r}, ttl=60).unlink()")


def row(page, name):
    return page.locator("#locks-table tbody tr").filter(has_text=name)


@pytest.mark.parametrize("queue_for_a_semaphore", [(15.0, 0.2)], indirect=True)
def test_page_shows_the_holder_with_its_task_and_three_waiters_in_order_and_empties(page, queue_for_a_semaphore):
    name, ids = queue_for_a_semaphore
    page.goto("/locks")
    page.evaluate("window.sameDocument = true")
    expect(page.locator(".nav-link.active")).to_have_text("Locks")
    shown = row(page, name)
    expect(shown).to_contain_text("Semaphore")
    expect(shown).to_contain_text("on io@")
    short = [id[:8] for id in ids]
    seen = wait_until(lambda: short[0] in (text := shown.locator("td").nth(2).inner_text()) and text)
    assert not any(each in seen for each in short[1:])
    waiters = shown.locator("td").nth(7).locator("li")
    expect(waiters).to_have_count(3)
    assert [next(each for each in short if each in text) for text in waiters.all_inner_texts()] == short[1:]
    assert re.search(r"for \d+\.\d s", waiters.first.inner_text())
    page.locator("#locks-table_filter input").fill("nothing has this name")
    expect(page.locator("#locks-table tbody")).to_contain_text("No lock matches")
    page.locator("#locks-table_filter input").fill(ids[0])
    shown.locator("td").nth(2).get_by_role("link", name=re.compile(short[0])).click()
    expect(page.locator("#task-page")).to_contain_text(ids[0])
    expect(page.locator("#task-page")).to_contain_text("<script>alert('argument')</script>")
    page.goto("/locks")
    page.locator("#locks-table_filter input").fill("")
    expect(row(page, name)).to_have_count(0)


def test_page_without_locks_says_what_to_do(page):
    page.goto("/locks")
    page.locator("#locks-table_filter input").fill("")
    expect(page.locator("#locks-table tbody")).to_contain_text(re.compile("Nobody holds or waits.*interlock.Lock"))


@pytest.mark.parametrize("queue_for_a_semaphore", [(30.0, 30.0)], indirect=True)
def test_lock_that_is_broken_goes_to_the_first_waiter_and_its_holder_hears_of_it(page, stack, queue_for_a_semaphore):
    name, ids = queue_for_a_semaphore
    page.goto("/locks")
    page.get_by_role("link", name=name).click()
    expect(page.locator("#lock-name")).to_have_text(name)
    expect(page.locator("#holders")).to_contain_text(ids[0][:8])
    expect(page.locator("#waiters tr")).to_have_count(3)
    page.locator("#break").click()
    expect(page.locator("#confirm")).to_contain_text("All holders lose it")
    page.locator("#confirm").get_by_role("button", name="Cancel").click()
    expect(page.locator("#confirm")).not_to_be_visible()
    expect(page.locator("#holders")).to_contain_text(ids[0][:8])
    for position, id in enumerate(ids):
        expect(page.locator("#holders")).to_contain_text(id[:8])
        expect(page.locator("#confirm")).not_to_be_visible()
        page.locator("#break").click()
        page.locator("#confirm-do").click()
        expect(page.locator("#said")).to_have_text("Broken: 1 lease ended.")
        if position < len(ids) - 1:
            expect(page.locator("#waiters tr").filter(has_text=ids[position + 1][:8])).to_have_count(0)
    expect(page.locator("#lock-state")).to_have_text("free")
    expect(page.locator("#break")).not_to_be_visible()
    code = f"""
from tasks import app
for id in {ids!r}:
    print(type(app.AsyncResult(id).get(timeout=90, propagate=False)).__name__)
"""
    assert ran(stack, code) == ["LeaseLostError"] * 4


def test_page_of_a_lock_that_nobody_used_says_so(page):
    page.goto("/lock?name=nobody%20uses%20this")
    expect(page.locator("#lock-state")).to_contain_text("Redis knows nothing of this name")
    expect(page.locator("#break")).not_to_be_visible()


def test_lock_is_not_broken_by_another_site_nor_under_another_host_name(stack):
    """Without a login, the token of the page and the name of this machine are what a request must have."""
    url = stack.flower_url
    token = {"Cookie": "_xsrf=abc", "X-XSRFToken": "abc"}
    for headers, status in (
        ({}, 403),
        ({**token, "X-XSRFToken": "other"}, 403),
        ({**token, "Sec-Fetch-Site": "cross-site"}, 403),
        ({**token, "Host": "evil.example"}, 403),
        ({**token, "Sec-Fetch-Site": "same-origin"}, 409),
    ):
        assert answer(url, "/lock/break", method="POST", headers=headers, name="nobody uses this") == status


def test_read_only_mode_shows_locks_without_the_button_and_refuses_to_break_them(browser, stack, tmp_path):
    lock = "import interlock\nlock = interlock.Lock(name='read only', lease=5)\n"
    with flower(tmp_path, "--read-only", f"--basic-auth={LOGIN}", env=stack.env) as url:
        user, password = LOGIN.split(":")
        with opened_at(browser, url, http_credentials={"username": user, "password": password}) as page:
            ran(stack, lock + "lock.acquire()\nimport os, time\ntime.sleep(1)\nos._exit(0)")
            page.goto("/lock?name=read%20only")
            expect(page.locator("#lock-state")).to_contain_text("held by 1")
            assert page.locator("#break").count() == 0
        status, said = asked(url, "/lock/break", method="POST", login=LOGIN, name="read only")
        assert (status, "read-only" in said, "\n" in said) == (403, True, False)
        assert json.loads(asked(url, "/lock/data?name=read%20only", login=LOGIN)[1])["lock"]["holding"] == 1


def test_a_thousand_locks_and_ten_thousand_waiters_are_one_bounded_look(page, stack):
    """They are written as the scripts write them: a thousand real processes would measure the machine."""
    with redis.Redis.from_url(stack.env["REDIS_URL"]) as client:
        now = client.time()[0] * 1000
        with client.pipeline(transaction=False) as many:
            for number in range(1000):
                key = f"interlock:{{many{number}}}"
                many.hset(
                    key, mapping={"kind": "Lock", "initial": 1, "permits": 1, f"h:s/1/{number} host:1": now * 1000}
                )
                many.zadd(f"{key}:holders", {f"s/1/{number} host:1": now + 60_000})
                many.zadd(f"{key}:queue", {f"w/{each}/1 host:2 t[{each}]": now * 1000 + each for each in range(10)})
                many.set(f"{key}:alive:w", 1, ex=60)
                for part in ("", ":holders", ":queue"):
                    many.expire(key + part, 60)
            many.zadd("interlock:names", {f"many{number}": now for number in range(1000)})
            many.execute()
        try:
            page.goto("/locks")
            expect(page.locator("#locks-table_info")).to_contain_text("of 1,000 locks")
            expect(page.locator("#locks-table tbody tr")).to_have_count(15)
            expect(page.locator("#locks-table tbody tr").first).to_contain_text("… and 5 more")
            page.locator("#locks-table_paginate .paginate_button").get_by_text("3", exact=True).click()
            expect(page.locator("#locks-table_info")).to_contain_text("Showing 31 to 45")
            before = page.locator("#live-status").inner_text()
            expect(page.locator("#live-status")).not_to_have_text(before)
            expect(page.locator("#locks-table_info")).to_contain_text("Showing 31 to 45")
        finally:
            client.delete(*client.keys("interlock:{many*"), "interlock:names")
