"""Servers for tests that stop, fill or kill theirs; a browser for Flower's pages."""

import pytest
from browsers import launched, opened_at
from servers import Server


@pytest.fixture
def own_server(tmp_path):
    """One that no other worker serves."""
    (tmp_path / "redis").mkdir()
    own = Server(tmp_path / "redis")
    yield own
    own.child.stop(0)


@pytest.fixture(scope="module")
def browser():
    with launched() as chromium:
        yield chromium


@pytest.fixture
def page(browser, stack):
    """A page of the stack's Flower."""
    with opened_at(browser, stack.flower_url) as opened:
        yield opened


@pytest.fixture
def keep(request):
    """Keep a picture for the README, if asked to."""
    folder = request.config.getoption("--screenshots")

    def save(page, name):
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=folder / f"{name}.png")

    return save
