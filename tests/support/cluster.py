"""A Redis Cluster of real nodes on the loopback address, for the tests that need one."""

import itertools
import shutil
import tempfile
from pathlib import Path

import redis
from peers import wait_until
from redis.cluster import RedisCluster
from redis.crc import key_slot
from servers import server_binary

from workers.local_stack import redis_server
from workers.local_stack.children import Child

SLOTS = 16384


class Node:
    """One server, started and answering."""

    def __init__(self, folder):
        self.port, self.bus = redis_server.free_port(), redis_server.free_port()
        folder.mkdir()
        command = [
            server_binary(), "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(folder),
            "--cluster-enabled", "yes", "--cluster-port", str(self.bus), "--cluster-node-timeout", "1000",
            "--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0",
        ]  # fmt: skip
        self.child = Child(f"node {self.port}", command, folder / "log", {})
        self.client = redis.Redis(port=self.port, decode_responses=True)
        wait_until(self._answers, what=f"the start of a node on port {self.port}")
        self.id = self.client.execute_command("CLUSTER MYID")

    def _answers(self):
        assert self.child.running, self.child.last_words()
        try:
            return self.client.ping()
        except redis.ConnectionError:
            return False

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}/0"

    def said(self):
        return [f"{key}:{value}" for key, value in self.client.execute_command("CLUSTER INFO").items()]

    def kill(self):
        self.child.process.kill()
        self.child.process.wait()

    def close(self):
        self.client.close()
        self.child.stop(0)


class Cluster:
    """So many primaries, each with its share of the slots; `replica` adds one to the first."""

    def __init__(self, primaries=3, *, replica=False):
        self.folder = Path(tempfile.mkdtemp(prefix="interlock-cluster-"))
        self.nodes = []
        try:
            for number in range(primaries + replica):
                self.nodes.append(Node(self.folder / str(number)))
            self.primaries = self.nodes[:primaries]
            for number, node in enumerate(self.primaries):
                first, end = (SLOTS * n // primaries for n in (number, number + 1))
                node.client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
                node.client.execute_command("CLUSTER ADDSLOTSRANGE", first, end - 1)
            for one, other in itertools.combinations(self.nodes, 2):
                one.client.execute_command("CLUSTER MEET", "127.0.0.1", other.port, other.bus)
            wait_until(lambda: all(map(self._joined, self.nodes)), what="a Cluster of all nodes")
            if replica:
                self.nodes[-1].client.execute_command("CLUSTER REPLICATE", self.nodes[0].id)
                wait_until(lambda: self.role(self.nodes[-1]) == "slave" and self._synced(), what="a replica in step")
        except BaseException:
            self.close()
            raise

    def _joined(self, node):
        said = node.client.execute_command("CLUSTER INFO")
        return said["cluster_state"] == "ok" and int(said["cluster_known_nodes"]) == len(self.nodes)

    def _synced(self):
        return self.nodes[-1].client.info("replication")["master_link_status"] == "up"

    def role(self, node):
        return node.client.info("replication")["role"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for node in self.nodes:
            node.close()
        shutil.rmtree(self.folder)

    def client(self):
        return RedisCluster("127.0.0.1", self.primaries[0].port)

    def node_of(self, name):
        """The primary that serves a name, as the slots were dealt out."""
        return self.primaries[(key_slot(f"interlock:{{{name}}}".encode()) * len(self.primaries)) // SLOTS]

    def name_on(self, node, word="name"):
        """A name that this primary serves."""
        return next(name for n in itertools.count() if self.node_of(name := f"{word}-{n}") is node)

    def keys(self):
        """All keys of ours, each with its time to live in ms."""
        return {key: node.client.pttl(key) for node in self.primaries for key in node.client.scan_iter("interlock:*")}

    def flush(self):
        for node in self.primaries:
            node.client.flushall()
