"""What tasks do right now, in Flower: on the page of a task and in the table."""

import json
import os
import re
import signal
import time
from contextlib import contextmanager

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsers import opened_at
from flowers import LOGIN, asked, flower, ran
from pages_server import PagesServer
from peers import plain, wait_until
from playwright.sync_api import expect
from queue_workers import queue_worker
from telling_tasks import obeys, order

import interlock
from interlock import in_use
from tasks.celery_app.reports import PROGRESS_EVERY


@pytest.fixture
def client():
    with plain() as each:
        yield each


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A Flower of this module's own: what the tests' tasks do, the shared stack's workers do not know."""
    with flower(tmp_path_factory.mktemp("flower")) as url:
        yield url


@pytest.fixture
def own_page(browser, address):
    with opened_at(browser, address) as opened:
        yield opened


class Task:
    """A task that does what it is told, and that Flower knows."""

    def __init__(self, client, url, **options):
        self.id = obeys.apply_async(queue="io", **options).id
        self._client = client
        wait_until(lambda: "STARTED" in asked(url, f"/task/{self.id}")[1], what="the task's page")

    def tell(self, *words):
        order(self._client, self.id, *words)


@contextmanager
def running(client, tmp_path, url):
    with queue_worker(tmp_path, "io", include="telling_tasks"):
        task = Task(client, url)
        try:
            yield task
        finally:
            task.tell("end")
            wait_until(lambda: not client.hlen("unacked"), what="the end")


@pytest.fixture
def task(client, tmp_path, address):
    with running(client, tmp_path, address) as each:
        yield each


def live(url, id, **options):
    return json.loads(asked(url, f"/task-live/{id}", **options)[1])


def test_page_of_a_task_shows_its_progress_and_lines_while_it_runs(own_page, task):
    own_page.goto(f"/task/{task.id}")
    section = own_page.locator("#task-live")
    own_page.wait_for_load_state("networkidle")
    expect(section).to_be_hidden()  # there is nothing
    own_page.evaluate("window.sameDocument = true")
    task.tell("progress", 1, 4)
    expect(section.locator("#live-amounts")).to_have_text("1 of 4 (25 %)")
    for row in ("lines", "holds", "waits", "returns"):
        expect(section.locator(f"#live-{row}")).to_be_hidden()
    task.tell("say", "<script>alert(1)</script>")
    task.tell("say", "second\nthird")
    expect(section.locator("pre")).to_have_text("<script>alert(1)</script>\nsecond\nthird")
    time.sleep(PROGRESS_EVERY)
    task.tell("progress", 3, 4)
    expect(section.locator("#live-amounts")).to_have_text("3 of 4 (75 %)")
    assert section.locator("progress").evaluate("bar => bar.value / bar.max") == 0.75
    for number in range(30):
        task.tell("say", f"line {number}")
    expect(section.locator("pre")).to_contain_text("… 13 before\nline 10\n")
    task.tell("end")
    expect(section.locator("#live-said")).to_have_text("The task has ended: show its result")
    assert own_page.evaluate("window.sameDocument")
    section.get_by_role("link", name="show its result").click()
    expect(own_page.locator(".badge", has_text="SUCCESS")).to_be_visible()
    expect(section.locator("#live-amounts")).to_have_text("3 of 4 (75 %)")
    expect(section.locator("pre")).to_contain_text("line 29")
    expect(section.locator("#live-said")).to_have_text("")


def test_page_of_a_task_shows_what_it_holds_and_waits_for(own_page, task):
    """Also where it waits behind more than the page of locks shows."""
    own_page.goto(f"/task/{task.id}")
    section = own_page.locator("#task-live")
    task.tell("hold", "<b>mine")
    expect(section.locator("#live-holds")).to_have_text(re.compile(r"Holds\s*<b>mine Lock, for \d+\.\d s"))
    with interlock.Lock(name="yours"):
        task.tell("hold", "yours")
        expect(section.locator("#live-waits")).to_have_text(re.compile(r"yours Lock, place 1 of 1, for \d+\.\d s"))
    expect(section.locator("#live-waits dd")).to_have_text("nothing now")
    expect(section.locator("#live-holds li")).to_have_count(2)
    section.get_by_role("link", name="yours").click()
    expect(own_page.locator("#lock-name")).to_have_text("yours")
    expect(own_page.locator("#holders")).to_contain_text(task.id[:8])


def test_link_keeps_the_focus_while_the_page_reloads(own_page, task):
    task.tell("hold", "mine")
    own_page.goto(f"/task/{task.id}")
    link = own_page.locator("#live-holds a")
    link.focus()
    own_page.evaluate("window.first = document.querySelector('#live-holds li')")
    own_page.wait_for_function("document.querySelector('#live-holds li') !== window.first")
    expect(link).to_be_focused()


def test_task_far_back_in_a_wait_queue_is_found(client, tmp_path, address):
    lock = interlock.Lock(name="crowded", linger=0)
    lock.acquire()
    with queue_worker(tmp_path, "io", concurrency=12, include="telling_tasks"):
        tasks = [Task(client, address) for _ in range(9)]
        for number, each in enumerate(tasks, 1):
            each.tell("hold", "crowded")
            wait_until(lambda number=number: waiting("crowded") == number, what="the waiter")
        (found,) = wait_until(lambda: live(address, tasks[-1].id)["waits"], what="its place")
        assert (found["name"], found["place"], found["waiting"]) == ("crowded", 9, 9)
        lock.release()
        for each in tasks:
            each.tell("release", "crowded")
            each.tell("end")
        wait_until(lambda: not client.hlen("unacked"), what="the end")


def waiting(name):
    seen = in_use.look_at(name)
    return seen.waiting if seen else 0


def test_returns_of_a_message_whose_worker_was_killed_are_shown(own_page, client, tmp_path, address):
    variables = {"INTERLOCK_VISIBILITY_SECONDS": "2"}
    with queue_worker(tmp_path, "io", include="telling_tasks", **variables) as first:
        task = Task(client, address)
        assert live(address, task.id)["returns"] == []
        os.killpg(first.pid, signal.SIGKILL)
        with queue_worker(tmp_path, "io", include="telling_tasks", **variables):
            (found,) = wait_until(lambda: live(address, task.id)["returns"], what="the second delivery")
            assert found["consumer"].partition("@")[0] == first.node
            assert 1.9 < found["returned"] - found["taken"] < 60
            own_page.goto(f"/task/{task.id}")
            expect(own_page.locator("#live-returns")).to_contain_text(f"{found['consumer']} took the message at ")
            task.tell("end")
            wait_until(lambda: not client.hlen("unacked"), what="the end")


def test_table_of_tasks_shows_how_far_each_has_come(own_page, task):
    own_page.goto("/tasks")
    own_page.evaluate("window.sameDocument = true")
    bar = own_page.locator(f"[id='{task.id}'] progress")
    row = own_page.locator(f"[id='{task.id}']")
    expect(row).to_contain_text("STARTED")
    expect(bar).to_have_count(0)
    height = row.bounding_box()["height"]
    for done in (1, 2):
        task.tell("progress", done, 4)
        expect(bar).to_have_attribute("aria-label", f"Progress of tests.telling.obeys: {done} of 4 ({done * 25} %)")
        time.sleep(PROGRESS_EVERY)
    assert row.bounding_box()["height"] == height  # nothing jumps
    assert bar.evaluate("bar => bar.value / bar.max") == 0.5
    own_page.evaluate("window.first = document.querySelector('#tasks-table tbody tr')")
    own_page.wait_for_function(
        "document.querySelector('#tasks-table tbody tr') !== window.first"
        " && document.querySelector('#tasks-table tbody tr progress')"
    )
    task.tell("end")
    expect(row).to_contain_text("SUCCESS")
    expect(bar).to_have_count(0)
    assert own_page.evaluate("window.sameDocument")


def test_progress_of_many_tasks_is_one_request_of_bounded_size(task, address):
    task.tell("progress", 1, 4)
    path = f"/tasks/progress?id={task.id}&id=unknown"
    assert wait_until(lambda: json.loads(asked(address, path)[1]), what="the progress") == {task.id: [1, 4]}
    assert json.loads(asked(address, "/tasks/progress")[1]) == {}
    many = "&".join(["id=x"] * 101)
    assert asked(address, f"/tasks/progress?{many}") == (400, "ask for 100 tasks at most, not 101")
    assert asked(address, "/tasks/progress?id=%ff") == (400, "id must be UTF-8")
    assert asked(address, "/task-live/unknown")[0] == 404


def test_read_only_flower_with_a_login_shows_it_to_whoever_has_logged_in(client, tmp_path):
    with (
        flower(tmp_path, "--read-only", f"--basic-auth={LOGIN}") as url,
        queue_worker(tmp_path, "io", include="telling_tasks"),
    ):
        id = obeys.apply_async(queue="io").id
        order(client, id, "progress", 1, 4)
        wait_until(lambda: asked(url, f"/task-live/{id}", login=LOGIN)[0] == 200, what="the task")
        wait_until(lambda: live(url, id, login=LOGIN)["progress"] == [1, 4], what="the progress")
        for path in (f"/task-live/{id}", f"/tasks/progress?id={id}"):
            assert asked(url, path)[0] == 401
        order(client, id, "end")
        wait_until(lambda: not client.hlen("unacked"), what="the end")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser, address, task, scheme):
    task.tell("progress", 30, 100)
    task.tell("say", "Reading report.csv")
    task.tell("hold", "printer")
    with interlock.Lock(name="archive"):
        task.tell("hold", "archive")
        with opened_at(browser, address, color_scheme=scheme) as page:
            for path, shown, part in (
                (f"/task/{task.id}", "#live-waits li", "#task-live"),
                ("/tasks", "progress", f"[id='{task.id}'] td.has-progress"),
            ):
                page.goto(path)
                expect(page.locator(shown)).to_be_visible()
                found = Axe().run(page, part).response["violations"]
                assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == [], path
    task.tell("release", "archive")


def test_progress_moves_while_a_program_of_ours_runs(page, stack):
    """`fetch_pages`, on the running stack: each page is done when its server says so."""
    with PagesServer() as server:
        urls = [server.url(f"/page/{number}?delay=1") for number in range(12)]  # four at once
        (id,) = ran(stack, f"from tasks import fetch_pages\nprint(fetch_pages.delay({urls!r}).id)")
        wait_until(lambda: asked(stack.flower_url, f"/task/{id}")[0] == 200, what="the task's page")
        page.goto(f"/task/{id}")
        amounts = page.locator("#live-amounts")
        seen = set()
        wait_until(lambda: seen.add(amounts.text_content()) or "12 of 12 (100 %)" in seen, what="the last page")
        assert len({text for text in seen if text}) > 2
        wait_until(lambda: ">SUCCESS<" in asked(stack.flower_url, f"/task/{id}")[1], what="the end")
