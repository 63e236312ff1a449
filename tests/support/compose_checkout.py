"""A copy of the checkout with a .env of its own, and the compose stack that runs from it."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request

from workers.local_stack.children import ROOT

SECRETS = {"REDIS_PASSWORD": "r4nd0mRedis", "FLOWER_PASSWORD": "r4nd0mFlower"}
QUICK = {"INTERLOCK_TASK_SECONDS_MAX": "8", "INTERLOCK_VISIBILITY_SECONDS": "5"}
README = (ROOT / "README.md").read_text()
PAGE = (ROOT / "docs" / "how-to" / "run-in-compose.md").read_text()
BASE, _, ADDED = PAGE.partition("## When a container")
MAKE_ENV, UP, SCALE, DOWN, READ_ENV = (
    line.split(" #")[0].strip()
    for line in BASE.splitlines()
    if line.startswith(("cp .env", "docker compose", "set -a"))
)
FROM_THE_HOST = f"{READ_ENV}; {sys.executable}"


class Checkout:
    """A copy of the checkout, with a .env, and the stack that runs from it."""

    def __init__(self, folder):
        self.folder = folder
        # no variable of the test run may stand in for one of .env
        taken = ("REDIS_", "FLOWER_", "INTERLOCK_")
        self.env = {key: value for key, value in os.environ.items() if not key.startswith(taken)}

    def shell(self, command, check=True, timeout=180):
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=timeout
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done

    def python(self, code):
        """What a program on the host prints, as JSON."""
        return json.loads(self.shell(f"{FROM_THE_HOST} -c '{code}'").stdout)

    def ids(self, service):
        return self.shell(f"docker compose ps --quiet {service}").stdout.split()

    def flower(self, path, user="flower", password=SECRETS["FLOWER_PASSWORD"], method="GET"):
        request = urllib.request.Request(f"http://127.0.0.1:5555{path}", method=method)
        if user:
            word = base64.b64encode(f"{user}:{password}".encode()).decode()
            request.add_header("Authorization", f"Basic {word}")
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.read().decode()

    def workers(self, *login):
        """What Flower's page of the workers knows of those that are online, by name."""
        data = json.loads(self.flower("/workers?json=1", *login))["data"]
        return {each["hostname"]: each for each in data if each["status"]}

    def set_env(self, **values):
        """Make the file .env, if there is none, and set these lines of it."""
        path = self.folder / ".env"
        if not path.exists():
            self.shell(MAKE_ENV)
        text = path.read_text()
        for name, value in values.items():
            text, count = re.subn(rf"^{name}=.*$", f"{name}={value}", text, flags=re.MULTILINE)
            assert count == 1, name
        path.write_text(text)


def copy_of_the_checkout(folder):
    """A copy of what a clone would hold, without a .env."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return Checkout(folder)
