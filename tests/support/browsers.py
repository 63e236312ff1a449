"""A browser, and pages in it that watch what they load and what goes wrong."""

import os
import shutil
from contextlib import contextmanager

import pytest
from playwright.sync_api import expect, sync_playwright

WITHIN = 60_000  # ms: this bounds failure alone, a busy machine is slow
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = ("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")  # fmt: skip


expect.set_options(timeout=WITHIN)


@contextmanager
def launched():
    """The browser that is installed."""
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
    opened.set_default_timeout(WITHIN)
    foreign, failures = [], []
    opened.on("request", lambda each: foreign.append(each.url) if not each.url.startswith(url) else None)
    opened.on("pageerror", lambda each: failures.append(str(each)))
    opened.on("console", lambda each: failures.append(each.text) if each.type == "error" else None)
    opened.on("dialog", lambda each: failures.append(f"dialog: {each.message}") or each.dismiss())
    yield opened
    opened.close()
    assert foreign == []
    assert failures == []
