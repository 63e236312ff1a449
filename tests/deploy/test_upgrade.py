"""A new image while tasks run: no task is lost, none runs twice."""

import json
import subprocess
import sys
from collections import Counter

import pytest
import redis
from compose_checkout import QUICK, SECRETS, UP, copy_of_the_checkout
from peers import wait_until

TASKS = {"cpu": (300, 0.2), "io": (500, 1.0), "aio": (200, 1.0)}  # for each queue: how many, and their seconds
MODULES = {"cpu": "cpu_bound", "io": "io_bound", "aio": "coroutines"}
FUNCTION = {
    "cpu": """

@app.task
def note_run(number, seconds):
    import time
    app.backend.client.rpush("runs", f"cpu:{number}")
    time.sleep(seconds)
    return number
""",
    "aio": """

@app.task(queue="aio")
async def note_run(number, seconds):
    import asyncio
    app.backend.client.rpush("runs", f"aio:{number}")
    await asyncio.sleep(seconds)
    return number
""",
}
FUNCTION["io"] = FUNCTION["cpu"].replace("@app.task", '@app.task(queue="io")').replace("cpu:", "io:")
DOCKERFILE = """
FROM interlock
COPY tasks/ tasks/
ARG REVISION
LABEL org.opencontainers.image.revision=$REVISION
"""
PRODUCER = """
from tasks import cpu_bound, io_bound, coroutines
modules = dict(cpu=cpu_bound, io=io_bound, aio=coroutines)
sent = []
for queue, (count, seconds) in {tasks}.items():
    sent += [modules[queue].note_run.delay(number, seconds) for number in range(count)]
print("sent", flush=True)
print(len([each.get(timeout=300) for each in sent]))
"""


@pytest.fixture
def checkout(tmp_path):
    """With two images, whose code notes each run of a task in Redis."""
    made = copy_of_the_checkout(tmp_path)
    for queue, module in MODULES.items():
        with (tmp_path / "tasks" / f"{module}.py").open("a") as file:
            file.write(FUNCTION[queue])
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    for revision in ("old", "new"):
        made.shell(
            f"docker build --quiet --tag interlock:{revision} --build-arg REVISION={revision} --file Dockerfile ."
        )
    made.set_env(**SECRETS, **QUICK, INTERLOCK_IMAGE="interlock:old", INTERLOCK_AIO_CONCURRENCY="10")
    yield made
    made.shell("docker compose kill; docker compose down --volumes", check=False)
    made.shell("docker image rm interlock:old interlock:new", check=False)


def revisions(checkout):
    """What the images of the running containers of workers say."""
    ids = " ".join(each for queue in TASKS for each in checkout.ids(queue))
    label = '{{index .Config.Labels "org.opencontainers.image.revision"}}'
    return checkout.shell(f"docker inspect --format '{label}' {ids}").stdout.split()


def test_no_task_is_lost_or_runs_twice_when_the_image_changes(checkout, capsys):
    checkout.shell(UP)
    assert revisions(checkout) == ["old"] * 3
    wanted = {f"{queue}:{number}" for queue, (count, _) in TASKS.items() for number in range(count)}
    told = {"REDIS_URL": "redis://127.0.0.1:6390/0", "REDIS_PASSWORD": SECRETS["REDIS_PASSWORD"]}
    producer = subprocess.Popen(
        [sys.executable, "-c", PRODUCER.format(tasks=json.dumps(TASKS))],
        cwd=checkout.folder, env={**checkout.env, **told}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        with redis.Redis(port=6390, password=SECRETS["REDIS_PASSWORD"], decode_responses=True) as client:
            assert producer.stdout.readline() == "sent\n"
            wait_until(lambda: client.llen("runs") >= 30, what="the first runs")
            checkout.set_env(INTERLOCK_IMAGE="interlock:new")
            before = client.llen("runs")
            checkout.shell(UP)
            after = client.llen("runs")
            assert revisions(checkout) == ["new"] * 3
            assert before < len(wanted), "all tasks had begun before the upgrade: take more"
            said, _ = producer.communicate(timeout=300)
            assert said == f"{len(wanted)}\n"
            runs = Counter(client.lrange("runs", 0, -1))
    finally:
        producer.kill()
        producer.wait()
    with capsys.disabled():
        print(f"\n  of {len(wanted)} tasks, {before} had begun before the upgrade, {after - before} amid it")
    assert set(runs) == wanted
    assert {name: count for name, count in runs.items() if count > 1} == {}
