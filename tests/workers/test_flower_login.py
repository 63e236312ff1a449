"""With a login set, Flower shows nothing to somebody who has not logged in."""

import base64
import re
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from flower.urls import handlers
from peers import wait_until

from workers.local_stack import redis_server
from workers.local_stack.children import ROOT

LOGIN = "somebody:a secret"
OPEN = {"/healthcheck", "/static/x", "/login", "/logout", ".*"}  # they say nothing about tasks, workers or queues


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A Flower with a login, as compose starts it."""
    port = redis_server.free_port()
    log = tmp_path_factory.mktemp("flower") / "log"
    command = [
        sys.executable, "-m", "celery", "-A", "workers", "flower", "--address=127.0.0.1", f"--port={port}",
        f"--conf={ROOT / 'deploy' / 'flowerconfig.py'}", "--persistent=False", f"--basic-auth={LOGIN}",
    ]  # fmt: skip
    with log.open("w") as output:
        flower = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: flower.poll() is not None or answer(url, "/healthcheck") == 200, within=60)
        assert flower.poll() is None, log.read_text()
        yield url
    finally:
        flower.terminate()
        flower.wait(30)


def answer(url, path, *, method="GET", login=None):
    """The status of what Flower answers; None while nobody listens."""
    headers = {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"} if login else {}
    data = b"" if method == "POST" else None
    try:
        with urllib.request.urlopen(urllib.request.Request(url + path, data, headers, method=method)) as got:
            return got.status
    except urllib.error.HTTPError as error:
        return error.code
    except urllib.error.URLError:
        return None


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
