"""The programs of what the tutorial only names, between two hosts where those can be made; and with broken tasks."""

import contextlib
import os
import re
import subprocess
import sys

import hosts
import pytest
import redis
from paths import PYTHONPATH
from peers import wait_until
from servers import server_binary

from workers.local_stack import redis_server
from workers.local_stack.children import ROOT, Child


def ran(env, *words):
    return subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120
    )


class TwoHosts:
    """Two workers, which know the twins too: on two hosts where those can be made, else both here."""

    def __init__(self, exits, folder):
        port = redis_server.free_port()
        self.children = [redis_server.start(folder, port, server_binary())]
        exits.callback(self.stop)
        self.env = {**os.environ, "REDIS_URL": f"redis://127.0.0.1:{port}/0"}
        self.hosts = {}
        if hosts.can_be_made():
            self.hosts = {
                queue: exits.enter_context(hosts.host(f"il-{queue}", number))
                for number, queue in enumerate(("cpu", "io"))
            }
            exits.callback(self.stop)  # what runs on the hosts ends before they do
            with redis.Redis(port=port) as client:
                client.config_set("protected-mode", "no")
                client.config_set("bind", " ".join(["127.0.0.1", *(host.peer for host in self.hosts.values())]))
        for queue, pool in (("cpu", "prefork"), ("io", "threads")):
            host = self.hosts.get(queue)
            command = [
                *(host.words if host else ()), sys.executable, "-m", "celery", "-A", "workers", "worker", "-Q", queue,
                "-n", f"{queue}@%h", "--pool", pool, "--concurrency", "2" if queue == "cpu" else "8",
                "--include", "mutants.twins_tasks", "--without-gossip", "--without-mingle",
            ]  # fmt: skip
            variables = {
                "REDIS_URL": f"redis://{host.peer if host else '127.0.0.1'}:{port}/0",
                "PYTHONPATH": PYTHONPATH,
                "INTERLOCK_LIVENESS_FILE": str(folder / f"{queue}.alive"),
            }
            self.children.append(Child(queue, command, folder / f"{queue}.log", variables))
        for child in self.children[1:]:
            alive = folder / f"{child.name}.alive"
            wait_until(lambda alive=alive, child=child: alive.exists() or not child.running)
            assert child.running, child.ending()

    def stop(self):
        if not self.children:  # stopped before
            return
        server, *workers = self.children
        for child in workers:
            child.ask_to_stop()
        for child in workers:
            child.stop(5)
        server.ask_to_stop()
        server.stop(5)
        self.children.clear()

    def twin(self, program, changes):
        """The program with something else in the place of a task."""
        code = (
            f"import runpy, interlock, tasks, mutants.twins_tasks as twins\n{changes}\n"
            f"runpy.run_module('examples.{program}', run_name='__main__')\n"
        )
        return ran({**self.env, "PYTHONPATH": PYTHONPATH}, "-c", code)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    with contextlib.ExitStack() as exits:
        yield TwoHosts(exits, tmp_path_factory.mktemp("two hosts"))


def printed_by(two, program):
    said = ran(two.env, "-m", f"examples.{program}")
    assert said.returncode == 0, said.stdout + said.stderr
    assert said.stderr == ""
    assert re.search(r"^ok: ", said.stdout, flags=re.MULTILINE)
    return said.stdout


def said_by_tasks(pattern, printed):
    """What a pattern finds at the beginning of lines that tasks printed, and which processes printed those."""
    found = re.findall(rf"^{pattern} +\S+@(\S+ pid \d+)$", printed, flags=re.MULTILINE)
    return [what for what, _ in found], {process for _, process in found}


def test_condition_keeps_the_buffer_within_its_bound(two):
    printed = printed_by(two, "condition")
    assert re.search(r"^Result: at most [123] in the buffer, 24 put, 24 taken$", printed, flags=re.MULTILINE)
    produced, producers = said_by_tasks(r"Produced (\d+) to \d+\.", printed)
    consumed, consumers = said_by_tasks(r"Consumed (\d+) items\.", printed)
    assert (sorted(produced), consumed) == (["0", "12"], ["12", "12"])
    assert not producers & consumers


@pytest.mark.parametrize(("program", "there", "here"), [("shared_queue", "Put", "Got"), ("pipe", "Sent", "Received")])
def test_items_pass_to_another_process_in_order(two, program, there, here):
    printed = printed_by(two, program)
    (sent, senders), (received, receivers) = (said_by_tasks(rf"{what} (\d+)", printed) for what in (there, here))
    assert sent == received == list("0123456789")
    assert len(senders) == len(receivers) == 1
    assert senders != receivers
    if program == "shared_queue":  # at most three are in it: the last is put after the last but three was got
        lines = printed.splitlines()
        assert at(lines, "Put 9") > at(lines, "Got 5")


def at(lines, text):
    return next(number for number, line in enumerate(lines) if line.startswith(text))


def test_array_counts_every_update(two):
    printed = printed_by(two, "shared_array")
    assert "Last digits: [400, 800, 0, 0, 800, 400, 800, 0, 0, 800]\n" in printed
    assert "Result: 4,000 of 4,000 counted\n" in printed


def test_event_lets_all_go_on_when_it_is_set(two):
    printed = printed_by(two, "event")
    went_on, processes = said_by_tasks(r"(Went on)\.", printed.partition("Set.\n")[2])
    assert (len(went_on), len(processes)) == (4, 2)
    assert re.search(r"^Result: all on \d+ ms after the set$", printed, flags=re.MULTILINE)


def test_barrier_keeps_rounds_apart(two):
    rounds, processes = said_by_tasks(r"Round (\d) done\.", printed_by(two, "barrier"))
    assert rounds == ["1"] * 4 + ["2"] * 4 + ["3"] * 4
    assert len(processes) == 2


def test_producer_and_consumer_are_on_two_hosts(two):
    """Which share nothing but the way to Redis: each has a network and a name of its own. So have all in this file."""
    if not two.hosts:
        pytest.skip("hosts of their own need Linux, root and iproute2")
    printed = printed_by(two, "shared_queue")
    assert re.search(r"^From process \d+ on il-io to process \d+ on il-cpu\.$", printed, flags=re.MULTILINE)


TWINS = {
    "buffer past its bound": (
        "condition",
        "tasks.produce = twins.produce_without_waiting\ntasks.consume = twins.called_with(tasks.consume, countdown=1)",
        "never more than 3 in it",
    ),
    "items read outside of the lock": (
        "condition",
        "tasks.consume = twins.consume_outside_of_the_lock",
        "each item is consumed once",
    ),
    "consumers beside the producers": (
        "condition",
        "tasks.consume = twins.called_with(tasks.consume, queue='io')",
        "in another process",
    ),
    **{
        f"{program} that {twin.lower()}": (
            program,
            f"tasks.{task} = twins.called_with(twins.{other}, twins.{twin})",
            "in order, each once",
        )
        for program, task, other in (("shared_queue", "put_items", "put_these"), ("pipe", "send_items", "send_these"))
        for twin in ("LOSES", "DOUBLES", "SWAPS")
    },
    **{
        f"{program} within a process": (
            program,
            f"tasks.{task} = twins.called_with(tasks.{task}, queue='io')",
            "arrive in another process",
        )
        for program, task in (("shared_queue", "get_items"), ("pipe", "receive_items"))
    },
    "array without its lock": (
        "shared_array",
        "tasks.count_last_digits = twins.count_without_the_lock\n"
        "interlock.Array = lambda code, size: interlock.RawArray(code, size)",
        "no update of an element is lost",
    ),
    "event that nobody waits for": ("event", "tasks.await_event = twins.await_nothing", "nobody goes on before"),
    "event that is heard late": ("event", "tasks.await_event = twins.await_event_and_dawdle", "all do within 2 s"),
    "barrier that holds nobody": ("barrier", "tasks.go_rounds = twins.go_rounds_alone", "nobody enters a round"),
}


@pytest.mark.parametrize("twin", TWINS)
def test_claim_that_does_not_hold_ends_with_1(two, twin):
    program, changes, claim = TWINS[twin]
    said = two.twin(program, changes)
    assert said.returncode == 1, said.stdout + said.stderr
    assert said.stderr == ""
    assert re.search(f"^FAILED: .*{claim}", said.stdout, flags=re.MULTILINE), said.stdout


def test_event_for_which_not_all_can_wait_is_one_line(two):
    """Nobody takes a task of that queue now: a pool with fewer places than tasks looks the same."""
    changes = """
import tasks.support.patience
tasks.support.patience.PATIENCE = 1.0
tasks.await_event = twins.called_with(tasks.await_event, countdown=3)
"""
    said = two.twin("event", changes)
    assert said.returncode == 1
    assert re.fullmatch(r"error: waited 1 s for four tasks to wait for the event\. Is there .*\n", said.stderr)


def test_task_that_gives_up_is_one_line(two):
    said = two.twin("barrier", "tasks.go_rounds = twins.give_up")
    assert said.returncode == 1
    assert re.fullmatch(
        r"error: waited 10 s for nothing\. Is there a free place for each task at queue io\? .*\n", said.stderr
    )
