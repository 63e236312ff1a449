"""Hosts of their own on one machine: each has a network, a name, and a cable to us. Linux, root and iproute2."""

import os
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Host:
    """A host: the words before a command that is to run there, and our address as it is seen from there."""

    name: str
    words: tuple[str, ...]
    peer: str


def can_be_made():
    return hasattr(os, "geteuid") and os.geteuid() == 0 and bool(shutil.which("ip") and shutil.which("unshare"))


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@contextmanager
def host(name, number):
    """Make a host, number 0 or 1, and take it away afterwards: what runs there must have ended before.

    Addresses are of the range for tests of devices (RFC 2544), and differ between processes that do this at once.
    """
    pid = os.getpid()
    namespace = cable = f"il{pid}-{number}"
    net = f"198.{18 + number}.{pid >> 6 & 255}"
    ours, theirs = f"{net}.{(pid & 63) * 4 + 1}", f"{net}.{(pid & 63) * 4 + 2}"
    ip("netns", "add", namespace)
    try:
        ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        ip("addr", "add", f"{ours}/30", "dev", cable)
        ip("link", "set", cable, "up")
        ip("-n", namespace, "addr", "add", f"{theirs}/30", "dev", "eth0")
        for device in ("lo", "eth0"):
            ip("-n", namespace, "link", "set", device, "up")
        named = ("unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', name)
        yield Host(name, ("ip", "netns", "exec", namespace, *named), ours)
    finally:
        ip("netns", "del", namespace)  # its end of the cable goes with it, and so does ours
