"""Ways to a server: rediss://, unix://, few connections, servers that are too old."""

import os
import socketserver
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from peers import listening, replicated, wait_until
from proxy import Proxy
from servers import server_binary
from tls_front import TlsFront, certificate

import interlock
from interlock._io.wire import CONNECTIONS_MAX, Wire
from interlock._session.process import session
from workers.local_stack import redis_server
from workers.local_stack.children import Child


def hand_over(url):
    """A lock and its value go from one client to another, both of that address."""
    one, other = redis.Redis.from_url(url), redis.Redis.from_url(url)
    lock = interlock.Lock(client=one, lease=5.0)
    value = interlock.Value("i", 1, client=one, lock=lock)
    theirs = interlock.Lock(name=lock.name, client=other, lease=5.0)

    def enter():
        with theirs:
            return theirs.token

    with ThreadPoolExecutor(1) as pool:
        with lock:
            value.value = 2
            token = lock.token
            entered = pool.submit(enter)
            wait_until(lambda: lock.statistics().waiters)
        assert entered.result(10) > token
    assert value.value == 2
    value.unlink()
    for each in (one, other):
        session(each).close()


def test_unix_socket_carries_locks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unix")
    path = folder / "socket"
    command = [
        server_binary(), "--port", "0", "--unixsocket", str(path), "--dir", str(folder), "--save", "",
    ]  # fmt: skip
    child = Child("redis", command, folder / "log", {})
    try:
        wait_until(lambda: path.exists() and child.running)
        hand_over(f"unix://{path}?db=1")
    finally:
        child.stop(0)


# --- TLS ---


def test_tls_carries_locks_and_wants_a_certificate_that_can_be_verified(tmp_path):
    made, key = certificate(tmp_path)
    with TlsFront(made, key) as front:
        url = f"rediss://localhost:{front.port}/0"
        hand_over(f"{url}?ssl_ca_certs={made}")
        with pytest.raises(interlock.UnreachableError) as caught:
            interlock.Lock(client=redis.Redis.from_url(url)).acquire()
    assert "certificate" in str(caught.value)
    assert "\n" not in str(caught.value)


# --- an address that leads to another server ---


def test_master_that_was_made_a_replica_is_left_for_who_has_its_address_now(tmp_path):
    """Its connections stay open: READONLY is all that it says."""
    ports = [redis_server.free_port() for _ in range(2)]
    children = []
    try:
        for port in ports:
            (tmp_path / str(port)).mkdir()
            children.append(redis_server.start(tmp_path / str(port), port, server_binary()))
        first, second = (redis.Redis(port=port, decode_responses=True) for port in ports)
        first.config_set("repl-diskless-sync-delay", 0)
        second.replicaof("127.0.0.1", ports[0])
        wait_until(lambda: second.info("replication")["master_link_status"] == "up")
        with Proxy() as proxy:
            proxy.target = "127.0.0.1", ports[0]
            client = redis.Redis(port=proxy.port)
            listening(session(client))
            locks = [interlock.Lock(client=client, lease=3.0) for _ in range(2)]
            for lock in locks:
                lock.acquire()
            replicated(first, second)
            second.replicaof("NO", "ONE")
            first.replicaof("127.0.0.1", ports[1])
            proxy.target = "127.0.0.1", ports[1]
            locks[0].release()
            ends = locks[1].deadline
            wait_until(lambda: locks[1].deadline > ends, what="renewal at the new master")
            locks[1].release()
            channel = f"interlock:session:{session(client).id}"
            wait_until(lambda: second.pubsub_numsub(channel)[0][1], what="a listener at the new master")
            session(client).close()
    finally:
        for child in children:
            child.stop(0)


# --- few connections ---


def test_fifty_waiters_leave_the_pool_of_their_client_alone():
    client = redis.Redis.from_url(os.environ["REDIS_URL"], max_connections=2)
    lock = interlock.Lock(client=client)
    entered = []

    def enter():
        with lock:
            entered.append(client.ping())

    with ThreadPoolExecutor(50) as pool:
        with lock:
            done = [pool.submit(enter) for _ in range(50)]
            wait_until(lambda: len(lock.statistics().waiters) == 50)
            assert client.ping()
        for each in done:
            each.result(30)
    assert len(entered) == 50
    session(client).close()


def test_heartbeats_wait_for_no_free_connection_and_leave_none_behind():
    client = redis.Redis.from_url(os.environ["REDIS_URL"])
    wire = Wire(client)
    busy = [threading.Thread(target=wire.call, args=("BLPOP", "no-such-list", 60)) for _ in range(CONNECTIONS_MAX)]
    for thread in busy:
        thread.start()
    wait_until(lambda: sum(each["cmd"] == "blpop" for each in client.client_list()) == CONNECTIONS_MAX)
    before = {each["id"] for each in client.client_list()}
    for _ in range(30):
        assert wire.batch([("PING",), ("GET", "no-such-key")]) == [b"PONG", None]
    assert len({each["id"] for each in client.client_list()} - before) == 1
    for _ in busy:
        client.rpush("no-such-list", "")
    for thread in busy:
        thread.join()
    assert wire.batch([("PING",)]) == [b"PONG"]
    wire.close()
    client.close()


# --- what a server may be ---


class Answers(socketserver.BaseRequestHandler):
    """A server of a version that is not at hand: it knows INFO, and says yes to all else."""

    info = b""

    def handle(self):
        for line in self.request.makefile("rb"):
            if line.strip().upper() == b"INFO":
                self.request.sendall(b"$%d\r\n%b\r\n" % (len(self.info), self.info))
            elif line.strip().upper() in (b"CLIENT", b"SELECT", b"PING"):
                self.request.sendall(b"+OK\r\n")


@pytest.mark.parametrize(
    ("runs", "refused"),
    [
        ("redis_version:6.0.16", "runs redis 6.0.16: 6.2 or later is needed"),
        ("redis_version:6.2.0", None),
        ("redis_version:10.0.1", None),
        (
            "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:7.1.9",
            "runs valkey 7.1.9: 7.2 or later is needed",
        ),
        ("redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:7.2.0", None),
    ],
)
def test_server_that_is_too_old_is_named_with_its_version(runs, refused):
    class Server(Answers):
        info = f"# Server\r\n{runs}\r\nredis_mode:standalone\r\nmaxmemory_policy:noeviction\r\n".encode()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Server) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            client = redis.Redis(port=server.server_address[1], protocol=2)
            if refused is None:
                session(client).checked()
            else:
                with pytest.raises(interlock.InterlockError, match="localhost:") as caught:
                    interlock.Lock(client=client).acquire()
                assert str(caught.value).endswith(refused)
        finally:
            server.shutdown()
            thread.join()
