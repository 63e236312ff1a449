"""The files of deploy/compose/: each is started with docker-compose.yml, and a task runs through."""

import json
import subprocess
import sys
import urllib.error
from contextlib import contextmanager

import pytest
import redis
from compose_checkout import ADDED, QUICK, SECRETS, copy_of_the_checkout
from peers import wait_until
from redis.backoff import NoBackoff
from redis.retry import Retry

COMMANDS = [
    line.split(" #")[0].strip() for line in ADDED.splitlines() if line.startswith(("sh ", "docker ", "export "))
]
MAKE_SECRETS, MAKE_CERTIFICATES, UP_ALL, LOG_IN, UP_WATCH = COMMANDS
SQUARE = "from tasks import print_square; print(print_square.delay(9).get(timeout=60)['square'])"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """With a .env, secrets and certificates."""
    made = copy_of_the_checkout(tmp_path_factory.mktemp("checkout"))
    made.set_env(**SECRETS, **QUICK)
    made.shell(f"{MAKE_SECRETS}; {MAKE_CERTIFICATES}")
    return made


@contextmanager
def up(checkout, command):
    """The stack, by that command; gone afterwards, with its volumes."""
    try:
        checkout.shell(command)
        yield
    finally:
        files = command.partition(" up ")[0]
        checkout.shell(f"{files} kill; {files} down --volumes", check=False)


def files(*names):
    return "docker compose -f docker-compose.yml " + " ".join(f"-f deploy/compose/{name}.yml" for name in names)


def secret(checkout, name):
    return (checkout.folder / "secrets" / name).read_text()


def run_by(checkout, code, **variables):
    """What a program on the host prints that has these variables."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=checkout.folder, env={**checkout.env, **variables}, capture_output=True, text=True, check=False, timeout=90,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def client(checkout, **options):
    return redis.Redis(port=6390, retry=Retry(NoBackoff(), 0), **options)


def environment(checkout, command, service):
    """The variables of a container of a service, as `docker inspect` shows them to everybody."""
    container = checkout.shell(f"{command} ps --quiet {service}").stdout.split()[0]
    listed = checkout.shell(f"docker inspect --format '{{{{json .Config.Env}}}}' {container}").stdout
    return dict(each.split("=", 1) for each in json.loads(listed))


def test_passwords_come_from_files(checkout):
    command = files("secrets")
    with up(checkout, f"{command} up -d --wait"):
        for password in ("", SECRETS["REDIS_PASSWORD"]):
            with client(checkout, password=password) as stranger, pytest.raises(redis.AuthenticationError):
                stranger.ping()
        told = {"REDIS_URL": "redis://127.0.0.1:6390/0", "REDIS_PASSWORD_FILE": "secrets/redis_password"}
        assert run_by(checkout, SQUARE, **told) == "81"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            checkout.flower("/workers")
        user, _, password = secret(checkout, "flower_login").partition(":")
        assert {name.partition("@")[0] for name in checkout.workers(user, password)} == {"cpu", "io", "aio"}
        hidden = [secret(checkout, name) for name in ("redis_password", "flower_password", "mariadb_password")]
        for service in ("redis", "cpu", "io", "aio", "flower"):
            shown = " ".join(environment(checkout, command, service).values())
            assert not [each for each in [*hidden, *SECRETS.values()] if each in shown], service


def test_each_program_has_a_user_of_its_own(checkout):
    with up(checkout, f"{files('users')} up -d --wait"):
        for password in ("", SECRETS["REDIS_PASSWORD"]):
            with client(checkout, password=password) as stranger, pytest.raises(redis.AuthenticationError):
                stranger.ping()
        told = {"REDIS_URL": "redis://127.0.0.1:6390/0", "REDIS_USERNAME": "producer"}
        assert run_by(checkout, SQUARE, **told, REDIS_PASSWORD_FILE="secrets/redis_producer") == "81"
        with client(checkout, username="admin", password=secret(checkout, "redis_admin")) as admin:
            users = {each["user"] for each in admin.client_list()}
            assert {"worker", "flower", "admin"} <= users <= {"worker", "flower", "admin", "producer", "health"}
            assert admin.acl_log() == [] or {each["reason"] for each in admin.acl_log()} == {"auth"}
        with client(checkout, username="health", password=secret(checkout, "redis_health")) as health:
            assert health.ping()
            with pytest.raises(redis.exceptions.NoPermissionError):
                health.get("cpu")


def test_redis_speaks_tls_alone(checkout):
    with up(checkout, f"{files('tls')} up -d --wait redis cpu"):
        with client(checkout, password=SECRETS["REDIS_PASSWORD"]) as plain, pytest.raises(redis.ConnectionError):
            plain.ping()
        with (
            client(checkout, password=SECRETS["REDIS_PASSWORD"], ssl=True) as unknown,
            pytest.raises(redis.ConnectionError, match="certificate"),
        ):
            unknown.ping()
        url = "rediss://127.0.0.1:6390/0?ssl_ca_certs=secrets/tls_ca.crt"
        assert run_by(checkout, SQUARE, REDIS_URL=url, REDIS_PASSWORD=SECRETS["REDIS_PASSWORD"]) == "81"


def test_all_three_work_together(checkout):
    """By the commands of the page."""
    with up(checkout, UP_ALL):
        checkout.shell(f'{LOG_IN}; {sys.executable} -c "{SQUARE}" | grep -x 81')
        user, _, password = secret(checkout, "flower_login").partition(":")
        assert {name.partition("@")[0] for name in checkout.workers(user, password)} == {"cpu", "io", "aio"}
        queues = json.loads(checkout.flower("/api/queues/length", user, password))["active_queues"]
        assert {each["name"] for each in queues} == {"cpu", "io", "aio"}


def test_second_run_of_the_scripts_keeps_passwords_and_authority(checkout):
    before = {path.name: path.read_bytes() for path in (checkout.folder / "secrets").iterdir()}
    checkout.shell(f"{MAKE_SECRETS}; {MAKE_CERTIFICATES}")
    after = {path.name: path.read_bytes() for path in (checkout.folder / "secrets").iterdir()}
    assert {name for name in after if after[name] != before.get(name)} <= {
        "tls_redis.key",
        "tls_redis.crt",
        "tls_ca.srl",
    }
    assert oct((checkout.folder / "secrets").stat().st_mode & 0o777) == "0o700"
    assert oct((checkout.folder / "secrets" / "tls_ca.key").stat().st_mode & 0o777) == "0o600"


def test_worker_starts_again_when_its_code_changes(checkout):
    base = UP_WATCH.partition(" up ")[0]
    path = checkout.folder / "tasks" / "cpu_bound.py"
    told = {"REDIS_URL": "redis://127.0.0.1:6390/0", "REDIS_PASSWORD": SECRETS["REDIS_PASSWORD"]}
    with up(checkout, f"{base} up -d --wait redis cpu"):
        log = checkout.folder / "watch.log"
        with log.open("w") as output:
            watch = subprocess.Popen(
                ["bash", "-c", f"exec {base} watch --no-up cpu"],
                cwd=checkout.folder, env=checkout.env, stdout=output, stderr=output,
            )  # fmt: skip
        try:
            wait_until(lambda: "Watch enabled" in log.read_text() or watch.poll() is not None, what="the watch")
            assert watch.poll() is None, log.read_text()
            assert run_by(checkout, SQUARE, **told) == "81"
            text = path.read_text()
            assert '"square": num * num' in text
            path.write_text(text.replace('"square": num * num', '"square": num * 7'))
            wait_until(lambda: run_by(checkout, SQUARE, **told) == "63", within=120, what="the changed code")
        finally:
            watch.terminate()
            watch.wait(30)


def test_file_of_a_secret_that_is_missing_is_an_error_before_anything_starts(checkout):
    said = checkout.shell(f"INTERLOCK_SECRETS=./nowhere {files('secrets')} up -d --wait redis", check=False)
    try:
        assert said.returncode != 0
        assert "nowhere/redis_password" in said.stderr
    finally:
        checkout.shell(f"{files('secrets')} down --volumes", check=False)
