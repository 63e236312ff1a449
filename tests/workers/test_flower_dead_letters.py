"""The page of dead letters in Flower, in a browser: listed, inspected, replayed and deleted, in bulk over a filter."""

import json
import re
import uuid
from contextlib import contextmanager

import pytest
import redis
from browsers import opened_at
from flowers import LOGIN, asked, flower, ran
from peers import wait_until
from playwright.sync_api import expect
from raw_messages import message

MARKUP = "<script>alert(1)</script>"


@pytest.fixture
def broker(stack):
    """A client of the stack's Redis; no dead letter is left."""
    with redis.Redis.from_url(stack.env["REDIS_URL"], decode_responses=True) as client:
        yield client
        client.delete("dead-letters")


@pytest.fixture
def refused(stack, broker):
    """The ids of three tasks that no worker knows."""
    code = f"""
from tasks import app
for number in range(3): print(app.send_task(f"tests.unknown{{number}}", ({MARKUP!r},), queue="io").id)
"""
    ids = ran(stack, code)
    wait_until(lambda: broker.llen("dead-letters") == 3, what="three dead letters")
    return ids


def dead(broker, id, number):
    """A message of a task that workers know by now, and that could not be run before."""
    whole = message("cpu", id, f"[{number}]", headers={"task": "tasks.cpu_bound.print_square"})
    letter = {
        "reason": "it could not be run then", "message": json.dumps(whole), "list": "cpu", "wake": "cpu:wake",
        "seconds": 1e9, "deliveries": [],
    }  # fmt: skip
    broker.lpush("dead-letters", json.dumps(letter))


def rows(page):
    return page.locator("#letters-table tbody tr")


def test_letters_are_listed_with_their_markup_as_text_inspected_and_deleted_over_a_filter(page, broker, refused):
    page.goto("/dead-letters")
    expect(rows(page)).to_have_count(3)
    row = rows(page).filter(has_text=refused[0])
    for text in ("tests.unknown0", MARKUP, "io", "1", "NotRegistered"):
        expect(row).to_contain_text(text)
    row.get_by_role("link", name=refused[0]).click()
    for text in (MARKUP, "NotRegistered: 'tests.unknown0'", '"task": "tests.unknown0"', '"deliveries"'):
        expect(page.locator("#letter-page")).to_contain_text(text)
    page.go_back()
    page.locator("#letters-table_filter input").fill("unknown1")
    expect(page.locator("#delete")).to_have_text("Delete 1")
    page.locator("#delete").click()
    page.locator("#confirm-do").click()
    expect(page.locator("#said")).to_have_text("1 dead letter deleted.")
    page.locator("#letters-table_filter input").fill("")
    expect(rows(page)).to_have_count(2)
    assert refused[1] not in "".join(broker.lrange("dead-letters", 0, -1))
    page.locator("#delete").click()
    page.locator("#confirm").get_by_role("button", name="Cancel").click()
    assert broker.llen("dead-letters") == 2
    page.locator("#delete").click()
    page.locator("#confirm-do").click()
    expect(page.locator("#letters-table tbody")).to_contain_text("No dead letters")
    expect(page.locator("#delete")).to_be_disabled()


def test_letters_that_are_replayed_run(page, stack, broker):
    ids = [str(uuid.uuid4()) for _ in range(3)]
    for number, id in enumerate(ids):
        dead(broker, id, 30 + number)
    page.goto("/dead-letters")
    rows(page).filter(has_text=ids[0]).get_by_role("link").click()
    page.locator("#replay").click()
    page.locator("#confirm-do").click()
    expect(page.locator("#said")).to_have_text("1 dead letter replayed.")
    expect(page.locator("#replay")).to_be_disabled()
    page.goto("/dead-letters")
    expect(page.locator("#replay")).to_have_text("Replay 2")
    page.locator("#replay").click()
    page.locator("#confirm-do").click()
    expect(page.locator("#said")).to_have_text("2 dead letters replayed.")
    code = f"from tasks import app\nfor id in {ids!r}: print(app.AsyncResult(id).get(timeout=60)['square'])"
    assert ran(stack, code) == ["900", "961", "1024"]
    assert broker.llen("dead-letters") == 0


def test_letter_with_half_of_a_surrogate_pair_or_that_is_no_message_is_shown_all_the_same(page, broker):
    whole = message("cpu", "half \udce9", headers={"task": "caf\udce9"})
    letters = [
        {"reason": "none", "message": json.dumps(whole), "list": "cpu"},
        {"reason": "none", "message": "no JSON <b>", "list": "cpu"},
        {"reason": "none", "base64": "/wA8Yj4="},
    ]
    broker.lpush("dead-letters", *map(json.dumps, letters))
    page.goto("/dead-letters")
    expect(rows(page)).to_have_count(3)
    links = [each.get_attribute("href") for each in rows(page).get_by_role("link").all()]
    shown = []
    for link in links:
        page.goto(link)
        shown.append(page.locator("#letter-page").inner_text())
    for text in (r"caf\udce9", r"half \udce9", "no JSON <b>", r"\xff"):
        assert any(text in each for each in shown), text


def test_letter_that_somebody_else_deleted_is_counted_for_nothing(page, broker, refused):
    page.goto("/dead-letters")
    expect(rows(page)).to_have_count(3)
    broker.delete("dead-letters")
    page.locator("#replay").click()
    page.locator("#confirm-do").click()
    expect(page.locator("#said")).to_have_text("0 dead letters replayed.")
    expect(page.locator("#letters-table tbody")).to_contain_text("No dead letters")


@contextmanager
def read_only(stack, tmp_path):
    with flower(tmp_path, "--read-only", f"--basic-auth={LOGIN}", env=stack.env) as url:
        yield url


def test_read_only_mode_lists_letters_without_buttons_and_refuses_to_change_them(
    browser, stack, tmp_path, broker, refused
):
    with read_only(stack, tmp_path) as url:
        user, password = LOGIN.split(":")
        with opened_at(browser, url, http_credentials={"username": user, "password": password}) as page:
            page.goto("/dead-letters")
            expect(rows(page)).to_have_count(3)
            assert page.locator("#replay, #delete").count() == 0
            rows(page).first.get_by_role("link").click()
            expect(page.locator("#letter-page")).to_contain_text("NotRegistered")
            assert page.locator("#replay, #delete").count() == 0
        listed = json.loads(asked(url, "/dead-letters/data", login=LOGIN)[1])["data"]
        chosen = json.dumps([each["digest"] for each in listed])
        for what in ("replay", "delete"):
            status, said = asked(url, f"/dead-letters/{what}", method="POST", login=LOGIN, letters=chosen)
            assert status == 403
            assert re.fullmatch(r".*read-only mode.*", said)
        assert broker.llen("dead-letters") == 3
