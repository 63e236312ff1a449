"""Behind Sentinel: when the master dies, locks and waiters go on with the replica that takes its place."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from peers import replicated, wait_until
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel
from servers import server_binary

import interlock
from interlock._session.process import session
from workers.local_stack import redis_server
from workers.local_stack.children import Child

SERVICE = "locks"


class Servers:
    """A master, its replica, and a Sentinel that watches both."""

    def __init__(self, folder):
        self.ports = [redis_server.free_port() for _ in range(3)]
        self.children = []
        self.master, self.replica = (self._start(folder, name) for name in ("master", "replica"))
        self.plain = [redis.Redis(port=port, decode_responses=True) for port in self.ports]
        for each in self.plain[:2]:
            wait_until(lambda each=each: self._answers(each))
        self.plain[1].replicaof("127.0.0.1", self.ports[0])
        wait_until(lambda: self.plain[1].info("replication")["master_link_status"] == "up")
        config = folder / "sentinel.conf"
        config.write_text(
            f"port {self.ports[2]}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {self.ports[0]} 1\n"
            f"sentinel down-after-milliseconds {SERVICE} 500\nsentinel failover-timeout {SERVICE} 5000\n"
        )
        self._run(folder, "sentinel", [str(config), "--sentinel"])
        wait_until(lambda: self._answers(self.plain[2]))
        self.plain[2].execute_command("SENTINEL DEBUG", "INFO-PERIOD", 100)  # ms, not 10 s
        wait_until(lambda: self.plain[2].sentinel_slaves(SERVICE), what="a Sentinel that knows the replica")

    def _start(self, folder, name):
        options = ["--save", "", "--repl-diskless-sync-delay", "0", "--bind", "127.0.0.1"]
        port = self.ports[len(self.children)]
        (folder / name).mkdir()
        return self._run(folder, name, [*options, "--port", str(port), "--dir", str(folder / name)])

    def _run(self, folder, name, options):
        child = Child(name, [server_binary(), *options], folder / f"{name}.log", {})
        self.children.append(child)
        return child

    def _answers(self, plain):
        try:
            return plain.ping()
        except redis.ConnectionError:
            return False

    def client(self):
        return Sentinel([("127.0.0.1", self.ports[2])]).master_for(SERVICE)

    def close(self):
        for child in self.children:
            child.stop(0)


@pytest.fixture
def servers(tmp_path):
    up = None
    try:
        up = Servers(tmp_path)
        yield up
    finally:
        if up is not None:
            up.close()


def released(lock):
    """Whether it is: a release that got no answer is asked for again."""
    try:
        lock.release()
    except redis.ConnectionError:
        return False
    return True


def test_lock_and_waiter_go_on_with_the_new_master(servers):
    one, other = servers.client(), servers.client()
    lock = interlock.Lock(client=one, lease=15.0)
    theirs = interlock.Lock(name=lock.name, client=other, lease=15.0)
    lock.acquire()
    with ThreadPoolExecutor(1) as pool:
        entered = pool.submit(lambda: theirs.acquire(timeout=70) and theirs.token)
        wait_until(lambda: lock.statistics().waiters)
        replicated(*servers.plain[:2])
        servers.master.process.kill()
        servers.master.process.wait()
        wait_until(lambda: servers.plain[1].info("replication")["role"] == "master", what="the failover")
        token = lock.token
        wait_until(lambda: released(lock), what="a release at the new master")
        assert entered.result(60) > token
    theirs.release()
    with lock:
        assert lock.token > token
    for each in (one, other):
        session(each).close()


def test_master_that_was_made_a_replica_is_left(servers):
    client = servers.client()
    lock = interlock.Lock(client=client, lease=15.0)
    lock.acquire()
    token = lock.token
    replicated(*servers.plain[:2])

    def ordered():
        try:
            return servers.plain[2].execute_command("SENTINEL FAILOVER", SERVICE)
        except redis.ResponseError:  # it has not looked at the replica yet, or is at it
            return False

    def promoted():
        return servers.plain[1].info("replication")["role"] == "master"

    wait_until(lambda: promoted() or (ordered() and promoted()), what="the failover")
    servers.plain[0].replicaof("127.0.0.1", servers.ports[1])  # as Sentinel does some ten seconds later
    wait_until(lambda: released(lock), what="a release at the new master")
    with lock:
        assert lock.token > token
    session(client).close()


def test_nobody_who_knows_the_master_is_one_line(servers):
    client = Sentinel([("127.0.0.1", servers.ports[2])]).master_for("unknown")
    with pytest.raises(interlock.UnreachableError, match="the master 'unknown' of Sentinel") as caught:
        interlock.Lock(client=client).acquire()
    assert "\n" not in str(caught.value)


def test_sentinel_that_is_down_is_one_short_line():
    once = {"retry": Retry(NoBackoff(), 0)}
    client = Sentinel([("127.0.0.1", redis_server.free_port())], sentinel_kwargs=once).master_for(SERVICE)
    with pytest.raises(interlock.UnreachableError, match=f"No master found for '{SERVICE}'") as caught:
        interlock.Lock(client=client).acquire()
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)
