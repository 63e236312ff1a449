"""Pages fetched by the stack's worker for coroutines, as a user enqueues them."""

import json
import os
import subprocess
import sys

from fetched import outcome
from pages_server import MISBEHAVIOURS

from tasks import fetch_pages
from workers.local_stack.children import ROOT


def on_the_stack(stack, *arguments):
    said = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=stack.env, capture_output=True, text=True, check=False, timeout=120
    )
    assert said.returncode == 0, said.stdout + said.stderr
    return said.stdout


def fetched(stack, *tasks):
    """Each task's pages; one task after the other."""
    code = f"""
import json
from tasks import fetch_pages
print(json.dumps([fetch_pages.delay(urls).get(timeout=90) for urls in {tasks}]))
"""
    return json.loads(on_the_stack(stack, "-c", code))


def test_worker_survives_every_page_and_keeps_its_session(stack, server):
    slow = {"/silence", "/slow-headers", "/slow-body"}  # twenty seconds, three times
    bad = [server.bad_url(path) for path in MISBEHAVIOURS if path not in slow]
    nowhere = ["http://127.0.0.1:1/", "http://169.254.169.254/", "http://127.1/", "http://[::1]/", "", "file:///"]
    bombs = [server.url("/endless"), server.url("/bomb?by=gzip"), server.url("/circle/a")]
    first, spoilt, last = fetched(
        stack, [server.url("/page/1?close=1"), server.url("/page/2")], bad + nowhere + bombs, [server.url("/page/3")]
    )
    assert [outcome(page) for page in first + last] == [(200, None)] * 3
    assert [page["url"] for page in spoilt] == bad + nowhere + bombs
    assert {outcome(page)[1] for page in spoilt} >= {"connect", "refused address", "bad url", "too large", "redirects"}
    assert "fault" not in {outcome(page)[1] for page in spoilt}


def test_tasks_of_the_worker_share_connections(stack, server):
    pages = fetched(stack, *[[server.url(f"/page/{n}")] for n in range(5)])
    assert [outcome(page) for (page,) in pages] == [(200, None)] * 5
    assert server.connections == 1


def test_example_never_has_more_than_four_at_once(stack):
    said = on_the_stack(stack, "-m", "examples.pages")
    assert "ok: at most 4 at once, and more than 1\n" in said
    assert said.count(" 200 ") == 20


def test_session_is_closed_when_the_worker_stops(server, tmp_path):
    env = {
        **os.environ,
        "CELERY_CUSTOM_WORKER_POOL": "workers.coroutines:TaskPool",
        "INTERLOCK_FETCH_NETWORKS": "127.0.0.1",
        "PYTHONWARNINGS": "always::ResourceWarning",
    }
    command = [sys.executable, "-m", "celery", "-A", "workers", "worker", "-Q", "aio", "--pool", "custom"]
    with (tmp_path / "log").open("w") as log:
        worker = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
    try:
        (page,) = fetch_pages.delay([server.url("/page/1")]).get(timeout=60)
        worker.terminate()
        assert worker.wait(90) == 0
    finally:
        worker.kill()
        worker.wait()
    said = (tmp_path / "log").read_text()
    assert outcome(page) == (200, None)
    assert "Unclosed" not in said, said
    assert "ResourceWarning" not in said, said
