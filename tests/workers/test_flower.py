"""Flower's pages in a browser, while the programs run: what people see. `make screenshots` keeps the pictures."""

import json
import re
import subprocess
import sys
import time
import urllib.request

import psutil
from peers import wait_until
from playwright.sync_api import expect

from workers.local_stack.children import ROOT

WITHIN = 60_000  # ms


def run(stack, *programs):
    """The programs, one after the other, as `python -m workers run` runs them."""
    each = "; ".join(f"{sys.executable} -m examples.{name}" for name in programs)
    return subprocess.Popen(["bash", "-ec", each], cwd=ROOT, env=stack.env, stdout=subprocess.DEVNULL)


def test_workers_page_shows_all_with_pool_and_concurrency(page, keep):
    page.goto("/workers")
    for name, pool in (
        ("cpu@", "prefork, 2 at once"),
        ("io@", "thread, 16 at once"),
        ("aio@", "coroutines, 1000 at once"),
    ):
        row = page.locator("#workers-table tbody tr").filter(has_text=re.compile(rf"\b{name}"))
        expect(row).to_contain_text("Online", timeout=WITHIN)
        expect(row).to_contain_text(pool, timeout=WITHIN)
    expect(page.locator("#workers-online")).to_have_text("3")


def test_workers_page_counts_active_tasks_while_they_run(page, stack):
    page.goto("/workers")
    program = run(stack, "processes")
    expect(page.locator("#workers-active")).to_have_text("2", timeout=WITHIN)
    assert program.wait(90) == 0
    expect(page.locator("#workers-active")).to_have_text("0", timeout=WITHIN)


def test_tasks_page_follows_the_examples_without_a_reload(page, stack, keep):
    page.goto("/tasks")
    page.evaluate("window.sameDocument = true")
    program = run(stack, "threads", "lock", "semaphore", "shared_value")

    def row(name):
        return page.locator("#tasks-table tbody tr").filter(has_text=name).first

    expect(row("print_numbers")).to_contain_text("STARTED", timeout=WITHIN)  # five pauses: long enough to be seen
    for name in ("print_letters", "increment_with_lock", "add_item", "remove_item"):
        expect(row(name)).to_be_visible(timeout=WITHIN)
    expect(row("tasks.counting.increment_value")).to_contain_text(
        re.compile(r"\(shared=Value \w{8}…, times=[\d_]+\)"), timeout=WITHIN
    )
    expect(row("add_item")).to_contain_text(
        re.compile(r"\(items='shared_resource-\w+', slots=Semaphore \w{8}…, item=\d\)")
    )
    expect(row("add_item")).to_contain_text("io@")
    keep(page, "flower-tasks")
    assert program.wait(90) == 0
    expect(row("tasks.counting.increment_value")).to_contain_text("SUCCESS", timeout=WITHIN)
    assert page.evaluate("window.sameDocument")


def test_page_of_one_task_tells_what_it_did_and_where(page, stack):
    assert run(stack, "processes").wait(90) == 0
    page.goto("/tasks")
    row = page.locator("#tasks-table tbody tr").filter(has_text="tasks.cpu_bound.print_square").first
    row.locator("a[href*='/task/']").click(timeout=WITHIN)
    details = page.locator("#task-page")
    for text in ("tasks.cpu_bound.print_square", "SUCCESS", "(num=10, pause=2.0)", "'square': 100", "cpu@"):
        expect(details).to_contain_text(text, timeout=WITHIN)


def tasks_listed(stack, **query):
    asked = "draw=1&start=0&length=1&order[0][column]=0&order[0][dir]=asc&columns[0][data]=name"
    with urllib.request.urlopen(f"{stack.flower_url}/tasks/datatable?{asked}", timeout=60) as answer:
        return json.load(answer)["recordsTotal"]


def test_memory_is_bounded_however_many_tasks_there_are(stack):
    """The last 10,000 are kept, and they weigh less than the limit in docker-compose.yml."""
    code = """
import uuid
from tasks import app
with app.events.default_dispatcher() as events:
    for number in range(10_500):
        id = str(uuid.uuid4())
        for state in ("received", "started", "succeeded"):
            events.send(f"task-{state}", uuid=id, name="tasks.made_up", args="(n=1)", kwargs="{}", result="x" * 200)
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=stack.env, check=True)
    wait_until(lambda: tasks_listed(stack) == 10_000, what="the last of the tasks")
    time.sleep(1)
    assert tasks_listed(stack) == 10_000
    flower = next(each for each in stack.children if each.name == "flower")
    assert psutil.Process(flower.process.pid).memory_info().rss < 400 * 2**20
