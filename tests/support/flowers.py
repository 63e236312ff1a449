"""Flower beside the one of the local stack, and what tests ask of Flower without a browser."""

import base64
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager

from peers import wait_until

from workers.local_stack import redis_server
from workers.local_stack.children import ROOT

LOGIN = "somebody:a secret"


@contextmanager
def flower(folder, *options, env=None):
    """A Flower with these options, as compose starts it; its address."""
    port = redis_server.free_port()
    log = folder / f"flower-{port}.log"
    command = [
        sys.executable, "-m", "celery", "-A", "workers", "flower", "--address=127.0.0.1", f"--port={port}",
        f"--conf={ROOT / 'deploy' / 'flowerconfig.py'}", "--persistent=False", *options,
    ]  # fmt: skip
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=output, stderr=subprocess.STDOUT)
    url = f"http://127.0.0.1:{port}"
    prefix = next((f"/{each.partition('=')[2]}" for each in options if each.startswith("--url-prefix=")), "")
    try:
        wait_until(lambda: process.poll() is not None or answer(url, prefix + "/healthcheck") == 200, within=60)
        assert process.poll() is None, log.read_text()
        yield url
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:  # without Redis, Flower's own threads ask for its workers again and again
            process.kill()
            process.wait()


def answer(url, path, *, method="GET", login=None, headers=None, **fields):
    """The status of what Flower answers; None while nobody listens."""
    return asked(url, path, method=method, login=login, headers=headers, **fields)[0]


def asked(url, path, *, method="GET", login=None, headers=None, **fields):
    """The status and the text of what Flower answers; (None, "") while nobody listens."""
    headers = dict(headers or {})
    if login:
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    data = urllib.parse.urlencode(fields).encode() if method == "POST" else None
    try:
        with urllib.request.urlopen(urllib.request.Request(url + path, data, headers, method=method)) as got:
            return got.status, got.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except urllib.error.URLError:
        return None, ""


def ran(stack, code):
    """What a program prints that uses the stack: its words."""
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=stack.env, capture_output=True, text=True, timeout=90
    )
    assert said.returncode == 0, said.stderr
    return said.stdout.split()
