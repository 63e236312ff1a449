"""A server that refuses for now: what may be repeated is repeated, and what may not be says what helps."""

import asyncio
import threading
import time
from contextlib import contextmanager

import pytest
import redis
import redis.asyncio
from cluster import Cluster
from peers import wait_until
from redis.backoff import NoBackoff
from redis.exceptions import OutOfMemoryError, ReadOnlyError
from redis.retry import Retry

import interlock
from interlock import aio
from interlock._io import refusals
from workers.local_stack import redis_server
from workers.local_stack.children import Child


class Server:
    """A server of its own, and ways to have it refuse."""

    def __init__(self, folder):
        self.folder, self.port = folder, redis_server.free_port()
        self.child = redis_server.start(folder, self.port)
        self.admin = redis.Redis(port=self.port, decode_responses=True, retry=Retry(NoBackoff(), 0))

    def refusing(self, word):
        return getattr(self, word.lower())()

    def client(self, **options):
        return redis.Redis(port=self.port, **options)

    def close(self):
        self.admin.close()
        self.child.stop(0)

    @contextmanager
    def noreplicas(self):
        self.admin.config_set("min-replicas-to-write", 1)
        yield
        self.admin.config_set("min-replicas-to-write", 0)

    @contextmanager
    def oom(self):
        self.admin.config_set("maxmemory", 1)
        yield
        self.admin.config_set("maxmemory", 0)

    @contextmanager
    def misconf(self):
        (self.folder / "dump.rdb" / "in the way").mkdir(parents=True)  # which no file can replace
        self.admin.config_set("save", "3600 1")
        self.admin.set("changed", 1)
        self.admin.bgsave()
        wait_until(lambda: self.admin.info("persistence")["rdb_last_bgsave_status"] == "err")
        yield
        self.admin.config_set("save", "")
        (self.folder / "dump.rdb" / "in the way").rmdir()
        (self.folder / "dump.rdb").rmdir()

    @contextmanager
    def readonly(self):
        self.admin.replicaof("127.0.0.1", 1)
        yield
        self.admin.replicaof("NO", "ONE")

    @contextmanager
    def masterdown(self):
        self.admin.config_set("replica-serve-stale-data", "no")
        with self.readonly():
            yield

    @contextmanager
    def busy(self):
        self.admin.config_set("lua-time-limit", 20)

        def keep_busy():
            with self.client() as client, pytest.raises(redis.ResponseError, match="SCRIPT KILL"):
                client.eval("while true do end", 0)

        script = threading.Thread(target=keep_busy)
        script.start()
        wait_until(self._busy)
        yield
        self.admin.script_kill()
        script.join()

    def _busy(self):
        try:
            return not self.admin.ping()
        except redis.ResponseError as error:
            return "BUSY" in str(error)

    @contextmanager
    def loading(self):
        with self.admin.pipeline(transaction=False) as many:
            for number in range(20_000):
                many.set(f"ballast:{number}", 1)
            many.execute()
        self.child.ask_to_stop()
        self.child.process.wait(10)
        command = [*self.child.process.args, "--key-load-delay", "100"]  # microseconds
        self.child = Child("redis", command, self.folder / "redis.log", {})
        wait_until(self._loading)
        yield
        wait_until(lambda: not self._loading())

    def _loading(self):
        try:
            self.admin.ping()
        except redis.BusyLoadingError:
            return True
        except redis.ConnectionError:
            return None
        return False


@pytest.fixture
def server(tmp_path):
    up = Server(tmp_path)
    yield up
    interlock.close()  # what tests left held
    up.close()


REFUSALS = ["NOREPLICAS", "OOM", "MISCONF", "READONLY", "MASTERDOWN", "BUSY", "LOADING"]


class Thread(threading.Thread):
    """What it calls, and what came of it."""

    def __init__(self, function):
        super().__init__(target=self._call)
        self.function, self.outcome, self.error = function, None, None
        self.start()

    def _call(self):
        try:
            self.outcome = self.function()
        except BaseException as error:  # for the test to look at
            self.error = error

    def ended(self):
        self.join(30)
        assert not self.is_alive()
        if self.error is not None:
            raise self.error
        return self.outcome


@pytest.mark.parametrize("word", REFUSALS)
def test_release_that_is_refused_for_a_while_takes_effect(server, caplog, word):
    """It is repeated: the value is stored, and the next holder waits for no lease."""
    lock = interlock.Lock(name="l", client=server.client(), linger=0)
    value = interlock.Value("i", 1, name="v", lock=lock)
    other = interlock.Lock(name="l", client=server.client(), linger=0)
    lock.acquire()
    value.value = 2
    with server.refusing(word):
        release = Thread(lock.release)
        # redis-py itself repeats what meets a server that loads
        wait_until(lambda: "asking again" in caplog.text or not release.is_alive(), what="a refusal")
    release.ended()
    assert other.acquire(timeout=10)
    assert value.value == 2
    other.release()


@pytest.mark.parametrize("word", ["NOREPLICAS", "READONLY", "BUSY"])
def test_release_of_a_coroutine_that_is_refused_for_a_while_takes_effect(server, caplog, word):
    async def main():
        value = aio.Value("i", 1, name="v", client=redis.asyncio.Redis(port=server.port))
        await value.acquire()
        await value.set(2)
        refusing = server.refusing(word)
        refusing.__enter__()

        def end_it():
            wait_until(lambda: "asking again" in caplog.text, what="a refusal")
            refusing.__exit__(None, None, None)

        ending = Thread(end_it)
        await value.release()
        ending.ended()
        assert await value.get() == 2

    asyncio.run(main())


@pytest.mark.parametrize("word", ["OOM", "NOREPLICAS", "READONLY"])
def test_release_that_is_refused_until_the_lease_is_over_says_why_and_what_helps(server, word):
    value = interlock.Value("i", 1, name="v", client=server.client(), linger=0, lease=1.0)
    value.acquire()
    value.value = 2
    with server.refusing(word), pytest.raises((interlock.UnreachableError, interlock.LeaseLostError)) as caught:
        value.release()
    text = str(caught.value)
    assert word in text
    assert refusals.HEALING[word] in text
    assert "'v'" in text
    assert "\n" not in text
    assert value.value == 1


@pytest.mark.parametrize("word", ["OOM", "READONLY", "BUSY"])
def test_waiting_acquire_goes_on_when_the_refusal_ends(server, word):
    held = interlock.Lock(name="l", client=server.client(), linger=0)
    waiting = interlock.Lock(name="l", client=server.client(), linger=0)
    held.acquire()
    acquire = Thread(waiting.acquire)
    wait_until(lambda: held.statistics().waiters)
    with server.refusing(word):
        time.sleep(1.2)  # a waiter asks again each second: at least once in vain
    held.release()
    assert acquire.ended()
    waiting.release()


CALLS = {
    "Event.set": lambda client: interlock.Event(name="x", client=client).set,
    "Queue.put": lambda client: lambda: interlock.Queue(name="x", client=client).put(1),
    "JoinableQueue.put": lambda client: lambda: interlock.JoinableQueue(name="x", client=client).put(1),
    "Barrier.abort": lambda client: interlock.Barrier(2, name="x", client=client).abort,
    "Lock.acquire": lambda client: lambda: interlock.Lock(name="x", client=client).acquire(False),
    "Semaphore.release": lambda client: interlock.Semaphore(2, name="x", client=client).release,
    "break_lock": lambda client: interlock.Lock(name="x", client=client).break_lock,
    "RWLock.write": lambda client: lambda: interlock.RWLock(name="x", client=client).writer.acquire(),
    "RawValue": lambda client: lambda: interlock.RawValue("i", 1, name="x", client=client),
    "RawArray": lambda client: lambda: interlock.RawArray("i", 3, name="x", client=client),
}


@pytest.mark.parametrize("call", CALLS)
def test_call_without_a_lease_waits_for_a_short_refusal_and_tells_of_a_long_one(server, call):
    function = CALLS[call](server.client())
    with server.noreplicas(), pytest.raises(interlock.UnreachableError, match=r"NOREPLICAS .*min-replicas-to-write"):
        function()
    with server.noreplicas():
        short = Thread(function)
        wait_until(lambda: server.admin.info("errorstats").get("errorstat_NOREPLICAS"))
    short.ended()


def test_first_call_on_a_server_that_is_busy_says_so(server):
    """Nobody is told to start a server, nor to change an address that is right."""
    lock = interlock.Lock(client=server.client())
    with server.busy(), pytest.raises(interlock.UnreachableError) as caught:
        lock.acquire()
    assert "SCRIPT KILL" in str(caught.value)
    assert "make up" not in str(caught.value)
    assert "REDIS_URL" not in str(caught.value)


@pytest.mark.parametrize("word", ["OOM", "NOREPLICAS", "MISCONF"])
def test_refused_calls_leave_nothing_half_done(server, word):
    """Redis refuses at the first write of a script, or not at all."""
    queue = interlock.JoinableQueue(2, name="q", client=server.client())
    semaphore = interlock.Semaphore(1, name="s", client=server.client())
    added = interlock.Value("i", 1, name="v", client=server.client())
    queue.put("before")
    before = sorted(server.admin.scan_iter("interlock:*"))
    with server.refusing(word):
        for refused in (lambda: queue.put("refused"), semaphore.acquire, lambda: added.add(1)):
            with pytest.raises(interlock.UnreachableError):
                refused()
    assert set(server.admin.scan_iter("interlock:*")) <= {*before}
    assert (queue.qsize(), added.value) == (1, 1)
    assert queue.get() == "before"
    queue.task_done()
    queue.join()


def test_wrong_type_is_told_at_once(server):
    """It would not heal: nothing is repeated until the lease is over."""
    lock = interlock.Lock(name="l", client=server.client(), linger=0, lease=60.0)
    server.admin.set("interlock:{l}", "not ours")
    began = time.monotonic()
    with pytest.raises(interlock.RefusedError, match=r"WRONGTYPE.* not ours") as caught:
        lock.acquire()
    assert time.monotonic() - began < 10
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("right", ["-evalsha", "-hset", "-@all"])
def test_right_that_is_taken_away_is_told_at_once(server, right):
    server.admin.execute_command("ACL SETUSER u on >secret ~* &* +@all")
    lock = interlock.Lock(name="l", client=server.client(username="u", password="secret"), linger=0, lease=60.0)
    value = interlock.Value("i", 0, name="v", lock=lock)
    lock.acquire()
    value.value = 1
    server.admin.execute_command("ACL SETUSER u", right)
    began = time.monotonic()
    with pytest.raises(interlock.RefusedError) as caught:
        lock.release()
    assert time.monotonic() - began < 10
    assert "deploy/users.acl" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_password_that_is_no_longer_right_is_told_at_once(server):
    server.admin.execute_command("ACL SETUSER u on >secret ~* &* +@all")
    lock = interlock.Lock(name="l", client=server.client(username="u", password="secret"), linger=0, lease=60.0)
    lock.acquire()
    server.admin.execute_command("ACL SETUSER u resetpass >other")
    server.admin.execute_command("CLIENT KILL USER u")
    began = time.monotonic()
    with pytest.raises(interlock.RefusedError, match="password"):
        lock.release()
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (redis.ResponseError("BUSY Redis is busy running a script."), "BUSY"),
        (redis.ResponseError("Error running script (call to f_1): @user_script:3: -OOM command not allowed"), "OOM"),
        (redis.ResponseError("Error running script (call to f_1): @user_script:3: -READONLY You can't"), "READONLY"),
        (redis.ResponseError("MISCONF Errors writing to the AOF file: No space left on device"), "MISCONF"),
        (redis.ResponseError("NOREPLICAS Not enough good replicas to write. script: on @user_script:1."), "NOREPLICAS"),
        (OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), "OOM"),
        (ReadOnlyError("You can't write against a read only replica."), "READONLY"),
        (redis.BusyLoadingError("Redis is loading the dataset in memory"), "LOADING"),
        (redis.exceptions.TryAgainError("Multiple keys request during rehashing of slot"), "TRYAGAIN"),
        (redis.exceptions.ClusterDownError("The cluster is down"), "CLUSTERDOWN"),
        (redis.exceptions.MasterDownError("Link with MASTER is down"), "MASTERDOWN"),
        (redis.ResponseError("BUSYKEY Target key name already exists."), None),
        (redis.ResponseError("BUSYGROUP Consumer Group name already exists"), None),
        (redis.ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"), None),
        (redis.exceptions.NoPermissionError("User u has no permissions to run the 'evalsha' command"), None),
        (redis.AuthenticationError("HELLO must be called with the client already authenticated"), None),
        (redis.ConnectionError("LOADING dock"), None),
        (OSError("BUSY "), None),
    ],
)
def test_refusals_are_known_in_all_their_forms(error, word):
    assert refusals.word_of(error) == word


def test_release_goes_on_when_a_cluster_is_whole_again(caplog):
    """A slot that no node serves makes the whole Cluster refuse."""
    with Cluster(3) as three:
        lock = interlock.Lock(name="l", client=three.client(), linger=0)
        value = interlock.Value("i", 1, name="v", lock=lock)
        other = 0  # of the first primary
        lock.acquire()
        value.value = 2
        owner, *others = three.primaries
        owner.client.execute_command("CLUSTER DELSLOTS", other)
        ended = time.time() * 1000
        wait_until(lambda: all(_pong(node, owner) > ended for node in others), what="news of the owner everywhere")
        for node in others:  # one that heard of the slot from its owner after this would take it for served
            node.client.execute_command("CLUSTER DELSLOTS", other)
        wait_until(lambda: all(map(_down, three.primaries)))
        release = Thread(lock.release)
        wait_until(lambda: "asking again" in caplog.text, what="a refusal")
        owner.client.execute_command("CLUSTER ADDSLOTS", other)
        release.ended()
        assert value.value == 2
        value.unlink()
        interlock.close()


def _pong(node, other):
    """When a node last had an answer of another, in ms."""
    return int(node.client.cluster("NODES")[f"127.0.0.1:{other.port}"]["last_pong_rcvd"])


def _down(node):
    try:
        node.client.get("x")
    except redis.exceptions.ClusterDownError:
        return True
    except redis.ResponseError:
        return False
    return False
