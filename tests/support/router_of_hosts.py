"""A router in user space between network namespaces: `router_of_hosts.py DELAY_MS LOSS NAMESPACE...`.

Each namespace gets a device `tun0`, and every packet of it passes here. It goes on after the delay, to the namespace
whose number, from 1, is the last byte of the packet's destination; or it is lost. The kernel's `netem` does that, too,
but not every kernel has it. Commands come by lines: `cut N` takes a host off the network, `heal N` puts it back.
"""

import ctypes
import fcntl
import heapq
import itertools
import os
import random
import selectors
import struct
import sys
import time
from pathlib import Path

CLONE_NEWNET = 0x40000000  # setns(2)
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000  # linux/if_tun.h
PACKET_MAX = 65_535


def device_of(namespace):
    """Open the end of a new device in that namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with (Path("/run/netns") / namespace).open() as file:
        if libc.setns(file.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter the namespace {namespace}")
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", b"tun0", IFF_TUN | IFF_NO_PI))
    return device


class Router:
    def __init__(self, delay, loss, devices):
        self.delay, self.loss, self.devices = delay, loss, devices
        self.cut = set()
        self.under_way = []  # (when it arrives, a number that keeps the order, the device, the packet)
        self.numbers = itertools.count()

    def take(self, number):
        """Take what a host has sent."""
        while True:
            try:
                packet = os.read(self.devices[number], PACKET_MAX)
            except BlockingIOError:
                return
            except OSError:  # the device is not up yet
                return
            to = packet[19]
            if (
                packet[0] >> 4 == 4
                and to in self.devices
                and not self.cut & {number, to}
                and random.random() > self.loss
            ):
                heapq.heappush(self.under_way, (time.monotonic() + self.delay, next(self.numbers), to, packet))

    def deliver(self):
        """Deliver what is due; return the seconds until the next is, None if nothing is under way."""
        while self.under_way:
            left = self.under_way[0][0] - time.monotonic()
            if left > 0:
                return left
            _, _, to, packet = heapq.heappop(self.under_way)
            if to not in self.cut:
                os.write(self.devices[to], packet)
        return None


def main():
    delay_ms, loss, *namespaces = sys.argv[1:]
    devices = {number: device_of(namespace) for number, namespace in enumerate(namespaces, 1)}
    router = Router(float(delay_ms) / 1000, float(loss), devices)
    with selectors.DefaultSelector() as selector:
        for number, device in devices.items():
            selector.register(device, selectors.EVENT_READ, number)
        selector.register(sys.stdin, selectors.EVENT_READ, None)
        print("ready", flush=True)
        while True:
            for key, _ in selector.select(router.deliver()):
                if key.data is not None:
                    router.take(key.data)
                    continue
                line = sys.stdin.readline()
                if not line:
                    return  # the test has ended
                word, number = line.split()
                {"cut": router.cut.add, "heal": router.cut.discard}[word](int(number))
                print("done", flush=True)


if __name__ == "__main__":
    main()
