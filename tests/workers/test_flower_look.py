"""How our pages fit into Flower: its templates, its themes, a keyboard, a screen reader, a prefix of its addresses."""

import json
from pathlib import Path

import flower as flowers_package
import pytest
import redis
from axe_playwright_python.sync_playwright import Axe
from browsers import opened_at
from flowers import answer, asked, flower, ran
from peers import wait_until
from playwright.sync_api import expect

from workers.flower.templates import INSERTED, TEMPLATES, inserted

FLOWERS_TEMPLATES = Path(flowers_package.__file__).parent / "templates"


@pytest.fixture(scope="module")
def something_to_see(stack):
    """Two tasks that hold a semaphore for long, two that wait, a dead letter, a task that has ended: its id."""
    code = """
from tasks import app, add_item, print_square
import interlock
slots = interlock.Semaphore(2, name="printer", ttl=60)
sent = [add_item.delay("pages", slots, number, pause=60.0).id for number in range(4)]
app.send_task("tests.unknown", queue="io")
done = print_square.delay(7)
done.get(timeout=60)
print(done.id, *sent)
"""
    id, *sent = ran(stack, code)
    yield id
    ran(stack, f"from tasks import app\napp.control.revoke({sent!r}, terminate=True)")  # ends those that wait
    ran(stack, "from interlock import in_use\nin_use.take_away('printer')")
    with redis.Redis.from_url(stack.env["REDIS_URL"]) as client:
        client.delete("dead-letters")
        wait_until(lambda: not client.hlen("unacked"), within=90, what="the end of those that held")


@pytest.mark.parametrize("name", INSERTED)
def test_flowers_template_has_the_places_where_ours_are_inserted_and_another_one_is_refused(name):
    text = (FLOWERS_TEMPLATES / name).read_text()
    assert len(inserted(name, text)) > len(text)
    behind = INSERTED[name][0][0]
    for other in (text.replace(behind, ""), text + behind):
        with pytest.raises(ValueError, match=r"not the one of Flower 2\.2"):
            inserted(name, other)


def test_no_template_of_ours_hides_one_of_flowers():
    ours = {each.name for each in TEMPLATES.iterdir()}
    assert ours
    assert not ours & {each.name for each in FLOWERS_TEMPLATES.iterdir()}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_our_pages(browser, stack, something_to_see, scheme, keep):
    letters = json.loads(asked(stack.flower_url, "/dead-letters/data")[1])["data"]
    pages = {
        "/locks": ("#locks-table tbody a", "main"),
        "/lock?name=printer": ("#holders a", "main"),
        "/dead-letters": ("#letters-table tbody a", "main"),
        letters[0]["url"]: ("#letter-page", "main"),
        f"/task/{something_to_see}": ("#task-retry", ".detail-actions"),  # the rest is Flower's
    }
    with opened_at(browser, stack.flower_url, color_scheme=scheme) as page:
        for path, (shown, part) in pages.items():
            page.goto(path)
            expect(page.locator(shown).first).to_be_visible()
            if path == "/locks" and scheme == "light":
                keep(page, "flower-locks")
            found = Axe().run(page, part).response["violations"]
            serious = [
                (each["id"], [node["html"][:200] for node in each["nodes"]])
                for each in found
                if each["impact"] in ("serious", "critical")
            ]
            assert serious == [], path


def test_axe_finds_nothing_serious_in_the_question_before_a_lock_is_broken(page, something_to_see):
    page.goto("/lock?name=printer")
    page.locator("#break").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    found = Axe().run(page, "#confirm").response["violations"]
    assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []


def test_keyboard_reaches_a_lock_and_keeps_its_place_while_the_table_reloads(page, something_to_see):
    page.goto("/locks")
    link = page.get_by_role("link", name="printer")
    link.focus()
    page.evaluate("window.firstRow = document.querySelector('#locks-table tbody tr')")
    page.wait_for_function("document.querySelector('#locks-table tbody tr') !== window.firstRow")
    expect(link).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#lock-name")).to_have_text("printer")
    expect(page.locator("#break")).to_be_visible()  # the focus passes by what is hidden
    page.locator("#break").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.get_by_role("dialog")).to_be_focused()  # from then on, it hears the keyboard
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).not_to_be_visible()
    expect(page.locator("#holders")).to_contain_text("add_item")


def test_pages_work_below_a_prefix_of_flowers_addresses(browser, stack, tmp_path, something_to_see):
    with flower(tmp_path, "--url-prefix=watch", env=stack.env) as url, opened_at(browser, url) as page:
        page.goto("/watch/locks")
        page.get_by_role("link", name="printer").click()
        expect(page.locator("#holders")).to_contain_text("add_item")
        page.locator(".nav-link", has_text="Dead letters").click()
        expect(page.locator("#letters-table tbody")).to_contain_text("tests.unknown")
        assert answer(url, "/locks") == 404
