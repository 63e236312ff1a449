"""docker-compose.yml on a real engine: `make test-compose` starts one of its own and runs this file there.

The commands are those of docs/how-to/run-in-compose.md, in a copy of the checkout, so that nobody's .env or
containers are touched.
"""

import json
import os
import re
import signal
import subprocess
import time
import urllib.error

import pytest
import redis
from compose_checkout import DOWN, FROM_THE_HOST, QUICK, README, SCALE, SECRETS, UP, copy_of_the_checkout
from peers import wait_until


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    return copy_of_the_checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="module")
def compose(bare):
    """The stack, up; and how long its start took."""
    bare.set_env(**SECRETS, **QUICK)
    bare.began = time.monotonic()
    bare.shell(UP)
    yield bare
    bare.shell("docker compose kill; docker compose down --volumes", check=False)


SQUARES = """
import json
from celery import group
from tasks import print_square
print(json.dumps(group(print_square.s(n, pause={pause}) for n in range({count})).delay().get(timeout=120)))
"""


def enqueue(compose, count, pause):
    """Enqueue jobs from the host; the process that waits for them."""
    code = SQUARES.format(count=count, pause=pause)
    return subprocess.Popen(
        ["bash", "-c", f"{FROM_THE_HOST} -c '{code}'"],
        cwd=compose.folder, env=compose.env, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def squares(process):
    """The hosts that ran the jobs, once all are done, each with the right result."""
    said, _ = process.communicate(timeout=150)
    assert process.returncode == 0
    answers = json.loads(said)
    assert [answer["square"] for answer in answers] == [n * n for n in range(len(answers))]
    return {answer["host"] for answer in answers}


def running(compose, queue="cpu"):
    """How many tasks of a queue wait, and how many are with a worker."""
    with redis.Redis(port=6390, password=SECRETS["REDIS_PASSWORD"]) as client:
        return client.llen(queue), client.hlen("unacked")


def test_without_env_file_the_error_is_a_line_that_says_what_to_do(bare):
    if (bare.folder / ".env").exists():
        pytest.fail("this test comes before the .env is made")
    said = bare.shell(UP, check=False)
    assert said.returncode != 0
    assert "cp .env.example .env" in said.stderr.strip().splitlines()[-1]


def test_first_job_is_enqueued_from_the_host(compose, capsys):
    answer = compose.python(
        "import json; from tasks import print_square; "
        'print(json.dumps(print_square.delay(10).get(timeout=30)["square"]))'
    )
    took = time.monotonic() - compose.began
    with capsys.disabled():
        print(f"\n  from `docker compose up -d --wait` to the first job done: {took:.1f} s")
    assert answer == 100
    assert took < 120


def test_flower_shows_both_workers_with_pool_and_concurrency_at_once(compose):
    pools = {name.partition("@")[0]: each for name, each in compose.workers().items()}
    assert (pools["cpu"]["pool"], pools["cpu"]["concurrency"]) == ("prefork", 2)
    assert (pools["io"]["pool"], pools["io"]["concurrency"]) == ("thread", 16)
    assert (pools["aio"]["pool"], pools["aio"]["concurrency"]) == ("coroutines", 1000)


def test_flower_wants_a_login_and_changes_nothing(compose):
    for path in ("/workers", "/metrics"):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            compose.flower(path, user=None)
    with pytest.raises(urllib.error.HTTPError, match="401"):
        compose.flower("/workers", user="somebody")
    name = next(iter(compose.workers()))
    with pytest.raises(urllib.error.HTTPError, match="403"):
        compose.flower(f"/api/worker/shutdown/{name}", method="POST")
    assert name in compose.workers()


def test_redis_wants_its_password_and_keeps_what_it_is_told(compose):
    with redis.Redis(port=6390) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
    with redis.Redis(port=6390, password=SECRETS["REDIS_PASSWORD"], decode_responses=True) as client:
        told = client.config_get("appendonly", "maxmemory-policy")
    assert told == {"appendonly": "yes", "maxmemory-policy": "noeviction"}


def test_ports_are_open_on_the_loopback_address_alone(compose):
    said = compose.shell("docker compose ps --format json").stdout
    published = [
        each["URL"]
        for line in said.splitlines()
        for each in json.loads(line)["Publishers"] or []
        if each["PublishedPort"]
    ]
    assert published
    assert set(published) == {"127.0.0.1"}


def test_mariadb_is_there_only_for_who_asks_for_it(compose):
    """Its image is not run here: Debian's server is, in tests/tasks."""
    config = "docker compose {} config --format json"
    assert "mariadb" not in json.loads(compose.shell(config.format("")).stdout)["services"]
    services = json.loads(compose.shell(config.format("--profile mariadb")).stdout)["services"]
    assert [port["host_ip"] for port in services["mariadb"]["ports"]] == ["127.0.0.1"]
    password = services["mariadb"]["environment"]["MARIADB_PASSWORD"]
    address = services["cpu"]["environment"]["INTERLOCK_MARIADB_URL"]
    assert address == f"mysql://interlock:{password}@mariadb:3306/interlock"


@pytest.mark.parametrize("service", ["cpu", "io", "aio", "flower"])
def test_containers_run_without_privileges(compose, service):
    said = compose.shell(
        f'docker compose exec {service} python -c \'import os; print(os.getuid()); open("/app/x", "w")\'', check=False
    )
    assert said.stdout.strip() == "10001"
    assert "Read-only file system" in said.stderr


def test_python_blocks_of_the_readme_run_from_the_host(compose):
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) == 2
    for text in blocks:
        (compose.folder / "pasted.py").write_text(text)
        compose.shell(f"{FROM_THE_HOST} -c 'exec(open(\"pasted.py\").read())'")


def test_status_from_the_host_names_the_workers(compose):
    said = compose.shell(f"export COLUMNS=150; {FROM_THE_HOST} -m workers status").stdout
    for part in ("cpu@", "io@", "aio@", "prefork", "127.0.0.1:6390"):
        assert part in said, said
    assert SECRETS["REDIS_PASSWORD"] not in said


def test_no_job_is_lost_when_scaled_from_1_to_4_to_1(compose):
    jobs = enqueue(compose, count=120, pause=1.0)
    wait_until(lambda: running(compose)[1] >= 2, within=30, what="the first jobs' start")
    compose.shell(SCALE)
    assert len(compose.ids("cpu")) == 4
    wait_until(lambda: running(compose)[1] >= 7, within=60, what="jobs on all four")
    compose.shell("docker compose up -d --scale cpu=1")
    assert len(compose.ids("cpu")) == 1
    assert running(compose)[0] > 0, "all jobs were done before the scaling was: enqueue more"
    assert len(squares(jobs)) == 4, "each of the four has done jobs"


def test_jobs_of_a_killed_container_are_done_by_another(compose):
    """Killed by the engine's order, a container stays down."""
    compose.shell("docker compose up -d --wait --scale cpu=2")
    jobs = enqueue(compose, count=8, pause=3.0)
    wait_until(lambda: running(compose)[1] == 4, within=30, what="jobs on both")
    killed = compose.ids("cpu")[0]
    compose.shell(f"docker kill {killed}")
    squares(jobs)
    assert len(compose.ids("cpu")) == 1


def test_jobs_of_a_crashed_container_come_back_with_it(compose):
    """A worker that dies by itself is started again by the engine."""
    compose.shell("docker compose up -d --wait --scale cpu=1")
    (container,) = compose.ids("cpu")
    jobs = enqueue(compose, count=4, pause=3.0)
    wait_until(lambda: running(compose)[1] == 2, within=30, what="the jobs' start")
    pid = int(compose.shell(f"docker inspect --format '{{{{.State.Pid}}}}' {container}").stdout)
    os.kill(pid, signal.SIGKILL)
    assert squares(jobs) == {container[:12]}


def test_queued_jobs_survive_a_killed_redis(compose):
    jobs = enqueue(compose, count=12, pause=1.0)
    wait_until(lambda: running(compose)[1] == 2, within=30, what="the jobs' start")
    time.sleep(1.5)  # a killed Redis may lose its last second, and says so
    compose.shell("docker compose kill redis; docker compose start redis")
    squares(jobs)


def shown_tasks(compose):
    found = json.loads(
        compose.flower("/tasks/datatable?draw=1&start=0&length=200&order[0][column]=0&columns[0][data]=name")
    )
    return {each["uuid"] for each in found["data"]}


def test_history_of_flower_survives_restart_and_kill(compose):
    before = shown_tasks(compose)
    assert len(before) > 90, "the jobs of the tests above, but for those that ran while Redis was away"
    compose.shell("docker compose restart flower")
    compose.shell("docker compose up -d --wait")
    assert before <= shown_tasks(compose)
    saved = time.time()
    wait_until(lambda: newest_file(compose) > saved, within=30, what="the next time that Flower saves")
    compose.shell("docker compose kill flower")
    compose.shell("docker compose up -d --wait")
    assert before <= shown_tasks(compose)


def newest_file(compose):
    code = 'import os; print(max(e.stat().st_mtime for e in os.scandir("/data")))'
    return float(compose.shell(f"docker compose exec flower python -c '{code}'").stdout)


def test_stopped_workers_leave_the_page(compose):
    """Four containers were there; after a minute the page lists those that are."""

    def listed():
        return [each["hostname"] for each in json.loads(compose.flower("/workers?json=1"))["data"]]

    wait_until(lambda: len(listed()) == 3, within=100, what="the stopped workers' leaving")
    assert {name.partition("@")[0] for name in listed()} == {"cpu", "io", "aio"}


def test_down_leaves_nothing(compose):
    compose.shell(DOWN)
    assert compose.shell("docker ps --all --quiet").stdout == ""
    compose.shell(f"{DOWN} --volumes")
    for what in ("ps --all --quiet", "volume ls --quiet"):
        assert compose.shell(f"docker {what}").stdout == ""
    assert "interlock" not in compose.shell("docker network ls").stdout
