"""The sale on real workers for coroutines: the example, and a worker that is killed amid its sales."""

import os
import re
import subprocess
import sys
from contextlib import ExitStack, contextmanager

import pytest
from mariadb_server import through
from peers import wait_until
from proxy import Proxy

import interlock
from tasks import put_on_sale, read_stock, sell_fenced
from workers.local_stack.children import ROOT

QUICK = "5"  # seconds that the longest task takes; after twice as long, what a killed worker had runs elsewhere


@pytest.fixture
def start(mariadb, tmp_path):
    """Starts workers, which are killed at the end."""
    with ExitStack() as all_of_them:
        yield lambda name, **variables: all_of_them.enter_context(worker(name, mariadb, tmp_path, **variables))


@contextmanager
def worker(name, url, folder, **variables):
    alive = folder / f"{name}.alive"
    env = {
        **os.environ, "CELERY_CUSTOM_WORKER_POOL": "workers.coroutines:TaskPool", "INTERLOCK_MARIADB_URL": url,
        "INTERLOCK_LIVENESS_FILE": str(alive), "INTERLOCK_TASK_SECONDS_MAX": QUICK, **variables,
    }  # fmt: skip
    command = [
        sys.executable, "-m", "celery", "-A", "workers", "worker", "-Q", "aio", "-n", f"{name}@%h", "--pool", "custom",
        "--concurrency", "100", "--loglevel", "WARNING", "--without-gossip", "--without-mingle",
    ]  # fmt: skip
    log = folder / f"{name}.log"
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=file, stderr=subprocess.STDOUT)
    process.log = log.read_text
    try:
        wait_until(lambda: alive.exists() or process.poll() is not None, what="the worker's start")
        assert process.poll() is None, log.read_text()
        yield process
    finally:
        process.kill()
        process.wait()


def run_example():
    return subprocess.run(
        [sys.executable, "-m", "examples.stock"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )


def test_example_shows_three_ways_and_where_each_ends(start):
    process = start("first")
    said = run_example()
    assert said.returncode == 0, said.stdout + said.stderr + process.log()
    assert "Result: left: [-1, 0, -1, 0]" in said.stdout
    process.terminate()
    assert process.wait(90) == 0
    assert not re.search("Traceback|Unclosed|WARNING", process.log()), process.log()


def test_example_without_a_mariadb_is_one_line(start):
    start("first", INTERLOCK_MARIADB_URL="")
    said = run_example()
    assert said.returncode == 1
    assert said.stderr == (
        "error: INTERLOCK_MARIADB_URL is not set: it must be mysql://user:password@host:port/database, "
        "with characters as @ and / in it written as %40 and %2F\n"
    )


def test_mariadb_that_was_away_is_asked_again(mariadb, start):
    with Proxy(mariadb) as proxy:
        process = start("first", INTERLOCK_MARIADB_URL=through(proxy, mariadb))
        proxy.lose_next_reply()
        put_on_sale.delay("asked for twice", 1).get(timeout=90)
        assert proxy.lost == 1
        assert read_stock.delay("asked for twice").get(timeout=90) == {"stock": 1, "sold": []}
    process.terminate()
    assert process.wait(90) == 0


def test_sales_of_a_worker_that_is_killed_are_made_once_by_another(client, start):
    """Twenty sales are enqueued; some are done, one is inside, others wait for the lock when their worker is killed."""
    first = start("first")
    item, lock = "the last ten", interlock.Lock(lease=1.0)
    put_on_sale.delay(item, 10).get(timeout=90)
    sales = [sell_fenced.delay(item, lock, pause=0.1) for _ in range(20)]
    wait_until(lambda: len(read_stock.delay(item).get(timeout=90)["sold"]) >= 3)
    first.kill()
    first.wait()
    assert int(client.hlen("unacked")) > 0
    start("second")
    numbers = [sale.get(timeout=60)["number"] for sale in sales]
    assert sorted(number for number in numbers if number) == list(range(1, 11))
    assert read_stock.delay(item).get(timeout=90) == {"stock": 0, "sold": list(range(1, 11))}
