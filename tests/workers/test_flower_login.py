"""With a login set, Flower shows nothing to somebody who has not logged in."""

import re

import pytest
from flower.urls import handlers
from flowers import LOGIN, answer, flower

from workers.flower import install

install()
OPEN = {
    "/healthcheck",
    "/static/x",
    "/interlock/static/x",
    "/login",
    "/logout",
    ".*",
}  # they say nothing about tasks, workers or queues


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A Flower with a login."""
    with flower(tmp_path_factory.mktemp("flower"), f"--basic-auth={LOGIN}") as url:
        yield url


def paths():
    """One for each of Flower's routes."""
    for route in handlers:
        pattern = route[0] if isinstance(route, tuple) else route.regex.pattern
        yield re.sub(r"\(\.[+*]\)", "x", pattern).removesuffix("$").removesuffix("/?")


@pytest.mark.parametrize("path", sorted({*paths()} - OPEN))
def test_flower_shows_nothing_to_whoever_has_not_logged_in(address, path):
    for login in (None, "somebody:a wrong one"):
        answers = {answer(address, path, method=method, login=login) for method in ("GET", "POST")}
        assert 401 in answers
        assert answers <= {401, 405}  # 405: there is no such method


def test_metrics_are_shown_after_the_login(address):
    assert answer(address, "/metrics", login=LOGIN) == 200


def test_routes_that_are_open_are_those_that_flower_has():
    """A route that a new Flower adds is tried by the test above, unless it is named here."""
    assert {*paths()} >= OPEN
