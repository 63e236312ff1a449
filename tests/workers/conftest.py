"""Servers for tests that stop, fill or kill theirs; a browser for Flower's pages."""

import os
import shutil
from contextlib import contextmanager

import pytest
from playwright.sync_api import sync_playwright
from servers import Server

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = ("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")  # fmt: skip


@pytest.fixture
def own_server(tmp_path):
    """One that no other worker serves."""
    (tmp_path / "redis").mkdir()
    own = Server(tmp_path / "redis")
    yield own
    own.child.stop(0)


@pytest.fixture(scope="module")
def browser():
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no browser found: install one of {', '.join(BROWSERS)}")
    with sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        yield playwright.chromium.launch(executable_path=path, args=[*QUIET, *sandbox])


@contextmanager
def opened_at(browser, url, **options):
    """A page that may load from that Flower alone, whose scripts must not fail, and whose console has no error."""
    opened = browser.new_page(base_url=url, viewport={"width": 1400, "height": 760}, **options)
    foreign, failures = [], []
    opened.on("request", lambda each: foreign.append(each.url) if not each.url.startswith(url) else None)
    opened.on("pageerror", lambda each: failures.append(str(each)))
    opened.on("console", lambda each: failures.append(each.text) if each.type == "error" else None)
    opened.on("dialog", lambda each: failures.append(f"dialog: {each.message}") or each.dismiss())
    yield opened
    opened.close()
    assert foreign == []
    assert failures == []


@pytest.fixture
def page(browser, stack):
    """A page of the stack's Flower."""
    with opened_at(browser, stack.flower_url) as opened:
        yield opened
