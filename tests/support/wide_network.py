"""Hosts on one machine with a network between them that takes its time and loses packets. Linux, root and iproute2."""

import itertools
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import hosts

DELAY_MS, LOSS = 5, 0.01  # from host to host, one way
_numbers = itertools.count()  # of the networks of this process


class Host(hosts.Host):
    """A host. `peer` is its own address, as the others see it."""

    def alive(self):
        """The processes that run there."""
        found = subprocess.run(["ip", "netns", "pids", self.words[3]], capture_output=True, text=True, check=True)
        return found.stdout.split()


class Network:
    """Its hosts by name; `cut` takes one off the network, `heal` puts it back."""

    def __init__(self, router, hosts_):
        self.router, self.hosts = router, hosts_

    def __getitem__(self, name):
        return self.hosts[name]

    def cut(self, name):
        self._tell("cut", name)

    def heal(self, name):
        self._tell("heal", name)

    def _tell(self, word, name):
        print(word, list(self.hosts).index(name) + 1, file=self.router.stdin, flush=True)
        assert self.router.stdout.readline() == "done\n"


def can_be_made():
    return hosts.can_be_made() and Path("/dev/net/tun").exists()


@contextmanager
def network(*names, delay_ms=DELAY_MS, loss=LOSS):
    """Make the hosts, and take them away afterwards: what runs there must have ended before."""
    made_before = next(_numbers)
    namespaces = [f"ilw{os.getpid()}-{made_before}-{number}" for number in range(1, len(names) + 1)]
    router = None
    try:
        for namespace in namespaces:
            hosts.ip("netns", "add", namespace)
        words = [sys.executable, Path(__file__).with_name("router_of_hosts.py"), str(delay_ms), str(loss), *namespaces]
        router = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert router.stdout.readline() == "ready\n"
        made = {}
        for number, (name, namespace) in enumerate(zip(names, namespaces, strict=True), 1):
            address = f"198.18.0.{number}"  # of the range for tests of devices (RFC 2544)
            hosts.ip("-n", namespace, "addr", "add", f"{address}/24", "dev", "tun0")
            for device in ("lo", "tun0"):
                hosts.ip("-n", namespace, "link", "set", device, "up")
            named = ("unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', name)
            made[name] = Host(name, ("ip", "netns", "exec", namespace, *named), address)
        yield Network(router, made)
    finally:
        if router is not None:
            router.stdin.close()
            router.stdout.close()
            router.wait(10)
        for namespace in namespaces:
            subprocess.run(["ip", "netns", "del", namespace], check=False, capture_output=True)
