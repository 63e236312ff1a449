"""Workers, producers, commands and Flower take their secrets from files; a file that cannot be used is one line."""

import os
import subprocess
import sys

import pytest
from flowers import answer, flower
from guarded_server import guarded_server
from local_stack import variables
from queue_workers import queue_worker

from interlock import address
from workers.local_stack.children import ROOT

PASSWORD, LOGIN = "s3:cr/e@t%+", "somebody:a: secret"
PRODUCER = "from tasks import print_square; print(print_square.delay(9).get(timeout=30)['square'])"
SETTINGS = dict.fromkeys(address.VARIABLES, "")


@pytest.fixture
def password_file(tmp_path):
    path = tmp_path / "password"
    path.write_text(f"{PASSWORD}\n")
    return str(path)


@pytest.mark.parametrize("way", ["port", "socket"])
def test_task_runs_where_only_a_file_holds_the_password(tmp_path, password_file, way):
    with guarded_server(tmp_path, PASSWORD) as addresses:
        login = {**SETTINGS, "REDIS_URL": addresses[way], "REDIS_PASSWORD_FILE": password_file}
        with queue_worker(tmp_path, "cpu", concurrency=1, **login) as worker:
            said = subprocess.run(
                [sys.executable, "-c", PRODUCER],
                cwd=ROOT, env={**os.environ, **login}, capture_output=True, text=True, check=False, timeout=60,
            )  # fmt: skip
            assert said.stdout == "81\n", said.stderr + worker.log()
            assert PASSWORD not in worker.log()


def test_flower_takes_its_login_from_a_file(tmp_path):
    path = tmp_path / "login"
    path.write_text(f"{LOGIN}\n")
    with flower(tmp_path, env={**os.environ, "FLOWER_BASIC_AUTH_FILE": str(path)}) as url:
        assert answer(url, "/workers") == 401
        assert answer(url, "/workers", login="somebody:another") == 401
        assert answer(url, "/workers", login=LOGIN) == 200


COMMANDS = {
    "worker": ["celery", "-A", "workers", "worker", "-Q", "cpu"],
    "flower": ["celery", "-A", "workers", "flower", "--conf=deploy/flowerconfig.py"],
    "status": ["workers", "status"],
    "up": ["workers", "up"],
}
WRONG = {
    "REDIS_URL_FILE": COMMANDS,
    "INTERLOCK_MARIADB_URL_FILE": COMMANDS,
    "REDIS_PASSWORD_FILE": COMMANDS,
    "FLOWER_BASIC_AUTH_FILE": ["flower"],
}


@pytest.mark.parametrize(("variable", "command"), [(name, each) for name, those in WRONG.items() for each in those])
def test_file_that_is_empty_is_one_line(tmp_path, variable, command):
    """Of every program that reads the secret."""
    (tmp_path / "empty").touch()
    env = variables(**{variable: str(tmp_path / "empty")})
    if variable != "REDIS_URL_FILE":
        env["REDIS_URL"] = os.environ["REDIS_URL"]
    said = subprocess.run(
        [sys.executable, "-m", *COMMANDS[command]],
        cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert said.returncode == 1
    assert said.stderr == f"error: {variable}: {tmp_path}/empty is empty: write the secret into it\n"


@pytest.mark.parametrize("login", ["somebody:", ":secret", "secret", "a:b,c"])
def test_login_of_flower_without_user_or_password_is_one_line(login):
    said = subprocess.run(
        [sys.executable, "-m", *COMMANDS["flower"]],
        cwd=ROOT, env={**os.environ, "FLOWER_BASIC_AUTH": login}, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip
    assert said.returncode == 1
    assert said.stderr == ("error: FLOWER_BASIC_AUTH must be user:password, or several with commas between them\n")
