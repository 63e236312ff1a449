"""Three machines join a Redis on a fourth, and a fifth enqueues: 5 ms from each to each, a packet in 100 is lost."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time

import pytest
import redis
import wide_network
from joining import Joined
from peers import wait_until
from servers import server_binary

from workers.local_stack.children import ROOT, Child

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not wide_network.can_be_made(), reason="needs Linux, root, iproute2 and /dev/net/tun"),
]

MACHINES = ("il-one", "il-two", "il-three")
CUT_SECONDS = 20.0
WAIT_FOR_ALL = """
import sys
from celery import group
from tasks import print_square, sleep, wait
squares = group(print_square.s(n, pause=3.0) for n in range(60)).delay()
sleeps = group(sleep.s(10.0) for _ in range(120)).delay()
waits = group(wait.s(20.0) for _ in range(120)).delay()
print("enqueued", flush=True)
answers = squares.get(timeout=240)
others = sleeps.get(timeout=240) + waits.get(timeout=240)
print("squares", *(each["square"] for each in answers))
print("others", len(others))
print("hosts", *sorted({each["host"] for each in answers + others}))
"""


class Hosts:
    """A Redis, three machines that have joined, and a producer, each on a host of its own."""

    def __init__(self, exits, folder, **variables):
        self.variables = variables
        self.network = exits.enter_context(wide_network.network("il-redis", *MACHINES, "il-producer"))
        socket = folder / "redis.sock"  # our own way in: we have no address in that network
        command = [
            *self.network["il-redis"].words, server_binary(), str(ROOT / "deploy" / "redis.conf"), "--bind", "0.0.0.0",
            "--protected-mode", "no", "--port", "6379", "--dir", str(folder), "--unixsocket", str(socket),
        ]  # fmt: skip
        server = Child("redis", command, folder / "redis.log", {})
        exits.callback(server.stop, 0)
        self.client = exits.enter_context(redis.Redis(unix_socket_path=str(socket), decode_responses=True))
        wait_until(lambda: socket.exists() or not server.running, what="the start of Redis")
        assert server.running, server.last_words()
        self.url = f"redis://{self.network['il-redis'].peer}:6379/0"
        self.machines = {}
        for name in MACHINES:
            machine = Joined(folder / name, self.url, before=self.network[name].words, **variables)
            exits.callback(machine.kill)
            self.machines[name] = machine
        for machine in self.machines.values():
            machine.wait_until_ready()

    def started(self, *words):
        """A program on the producer's host."""
        return subprocess.Popen(
            [*self.network["il-producer"].words, sys.executable, *words], cwd=ROOT,
            env={**os.environ, "REDIS_URL": self.url, **self.variables}, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ran(self, *words):
        process = self.started(*words)
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, out + err
        return out

    def unacknowledged(self):
        """How many messages workers have, and how many wait."""
        return self.client.hlen("unacked"), [self.client.llen(queue) for queue in ("cpu", "io", "aio")]

    def busy(self):
        """The machines that run tasks of two queues at least: one worker may take all coroutines."""
        code = (
            "from tasks import app; "
            "print(*(name for name, tasks in (app.control.inspect(timeout=3).active() or {}).items() if tasks))"
        )
        return self._complete(self.ran("-c", code), 2)

    def answering(self):
        """The machines whose workers all answer a command from the producer's host."""
        code = "from tasks import app; print(*(app.control.inspect(timeout=3).ping() or ()))"
        return self._complete(self.ran("-c", code), 3)

    def _complete(self, names, workers):
        """The machines of which that many workers are named."""
        names = names.split()
        return {each for each in MACHINES if sum(name.endswith(f"@{each}") for name in names) >= workers}


def finished(process):
    """What the producer of WAIT_FOR_ALL printed, if every task gave its result."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, out + err
    assert f"squares {' '.join(str(n * n) for n in range(60))}\n" in out
    assert "others 240\n" in out
    return re.search(r"^hosts (.*)$", out, flags=re.MULTILINE)[1].split()


def test_every_task_runs_when_a_machine_never_comes_back(tmp_path):
    """The others run what it had once its deliveries are overdue; cut off, it cannot acknowledge one."""
    with contextlib.ExitStack() as exits:
        up = Hosts(exits, tmp_path, INTERLOCK_VISIBILITY_SECONDS="6")
        process = up.started("-c", WAIT_FOR_ALL)
        assert process.stdout.readline() == "enqueued\n"
        wait_until(lambda: up.busy() == set(MACHINES), what="tasks on all machines")
        up.network.cut("il-two")
        finished(process)
        wait_until(lambda: up.unacknowledged() == (0, [0, 0, 0]), what="the acknowledgement of all")
        assert up.client.llen("dead-letters") == 0
        assert up.answering() == {"il-one", "il-three"}


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    with contextlib.ExitStack() as exits:
        up = Hosts(exits, tmp_path_factory.mktemp("hosts"))
        yield up
        for machine in up.machines.values():
            assert machine.stop(signal.SIGTERM) == 0
        assert up.unacknowledged() == (0, [0, 0, 0])


RESULTS = {
    "threads": ((), r""),
    "race_condition": (("100",), r""),
    "lock": (("20000",), r"^Result: 0$"),
    "semaphore": ((), r""),
    "processes": ((), r"100[\s\S]*1000"),
    "shared_value": (("20000",), r"^Result: 0$"),
    "condition": ((), r"^Result: at most [123] in the buffer, 24 put, 24 taken$"),
    "shared_queue": ((), r""),
    "pipe": ((), r""),
    "shared_array": ((), r"^Result: 4,000 of 4,000 counted$"),
    "event": ((), r"^Result: all on \d+ ms after the set$"),
    "barrier": ((), r""),
    "primes": ((), r"5,761,455"),
}


@pytest.mark.parametrize("program", RESULTS)
def test_program_of_the_tutorial_gives_the_same_result_as_on_one_machine(hosts, program):
    times, result = RESULTS[program]
    printed = hosts.ran("-m", "workers", "run", program, *times)
    assert re.search(r"^ok: ", printed, flags=re.MULTILINE), printed
    assert re.search(result, printed, flags=re.MULTILINE), printed


def test_every_task_runs_when_a_machine_is_cut_off_for_20_seconds_and_comes_back(hosts):
    """Its tasks that ended meanwhile are acknowledged when it is back, and it takes tasks again."""
    process = hosts.started("-c", WAIT_FOR_ALL)
    assert process.stdout.readline() == "enqueued\n"
    wait_until(lambda: hosts.busy() == set(MACHINES), what="tasks on all machines")
    hosts.network.cut("il-two")
    until = time.monotonic() + CUT_SECONDS
    try:
        assert hosts.answering() == {"il-one", "il-three"}
        with pytest.raises(subprocess.TimeoutExpired):
            hosts.machines["il-two"].process.wait(max(0.0, until - time.monotonic()))  # it goes on while it is cut off
    finally:
        hosts.network.heal("il-two")
    assert "il-one" in finished(process)
    wait_until(lambda: hosts.answering() == set(MACHINES), within=120, what="the answers of all machines")
    wait_until(lambda: hosts.unacknowledged() == (0, [0, 0, 0]), what="the acknowledgement of all")
