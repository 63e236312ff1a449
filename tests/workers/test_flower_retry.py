"""The button on Flower's page of a task that enqueues it again."""

import re

import pytest
from browsers import opened_at
from flowers import LOGIN, asked, flower, ran
from peers import wait_until
from playwright.sync_api import expect

TOKEN = {"Cookie": "_xsrf=abc", "X-XSRFToken": "abc"}
ENDED = """
from tasks import add_item, print_square
import interlock
done = print_square.delay(12)
failed = add_item.delay("<script>alert(1)</script>", interlock.Semaphore(1, name="retried", ttl=5), 3, pause=0.0)
for each in (done, failed):
    each.get(timeout=60)
    print(each.id)
"""


def state_of(stack, id):
    status, text = asked(stack.flower_url, f"/task/{id}")
    return re.search(r'badge[^>]*">(\w+)<', text)[1] if status == 200 else None


def test_task_is_run_again_with_its_arguments_under_a_new_id_that_links_to_the_old(page, stack):
    squared, added = ran(stack, ENDED)
    for old, result in ((squared, "'square': 144"), (added, "'pid'")):
        wait_until(lambda old=old: state_of(stack, old) == "SUCCESS", what="the old task's page")
        page.goto(f"/task/{old}")
        before = page.locator("#task-page pre").first.inner_text()
        page.locator("#task-retry").click()
        link = page.locator("#task-retried a")
        expect(link).to_be_visible()
        new = link.inner_text()
        assert new != old
        wait_until(lambda new=new: state_of(stack, new) == "SUCCESS", what="the new task's end")
        link.click()
        details = page.locator("#task-page")
        expect(details).to_contain_text(result)
        expect(details.locator("pre").first).to_have_text(before)
        details.get_by_role("link", name=old).first.click()
        expect(page.locator("#taskid")).to_have_text(old)


def test_task_that_has_not_ended_or_whose_arguments_are_gone_is_refused_in_a_line(stack):
    running, forgotten = ran(
        stack,
        """
from tasks import app, print_square
from tasks.io_bound import sleep
running = sleep.delay(8)
while app.AsyncResult(running.id).state != "STARTED": pass
gone = print_square.delay(3)
gone.get(timeout=60)
gone.forget()
print(running.id, gone.id)
""",
    )
    for id, reason in ((running, "has not ended"), (forgotten, "not in Redis"), ("no such task", "not in Redis")):
        path = f"/retry/{id.replace(' ', '%20')}"
        status, said = asked(stack.flower_url, path, method="POST", headers=TOKEN)
        assert (status, reason in said, "\n" in said) == (409, True, False)
    wait_until(lambda: state_of(stack, running) == "STARTED", what="the page of the task that runs")
    assert 'id="task-retry"' not in asked(stack.flower_url, f"/task/{running}")[1]
    ran(stack, f"from tasks import app\napp.AsyncResult({running!r}).get(timeout=60)")


@pytest.mark.parametrize("headers", [{}, {**TOKEN, "Sec-Fetch-Site": "cross-site"}, {**TOKEN, "Host": "evil.example"}])
def test_retry_that_another_site_asks_for_is_refused(stack, headers):
    assert asked(stack.flower_url, "/retry/x", method="POST", headers=headers)[0] == 403


def test_read_only_mode_hides_the_button_and_refuses(browser, stack, tmp_path):
    with flower(tmp_path, "--read-only", f"--basic-auth={LOGIN}", env=stack.env) as url:
        old, _ = ran(stack, ENDED)
        wait_until(lambda: "SUCCESS" in asked(url, f"/task/{old}", login=LOGIN)[1], what="the old task's page")
        user, password = LOGIN.split(":")
        with opened_at(browser, url, http_credentials={"username": user, "password": password}) as page:
            page.goto(f"/task/{old}")
            expect(page.locator("#task-page")).to_contain_text("SUCCESS")
            assert page.locator("#task-retry").count() == 0
        status, said = asked(url, f"/retry/{old}", method="POST", login=LOGIN)
        assert (status, "read-only" in said) == (403, True)
