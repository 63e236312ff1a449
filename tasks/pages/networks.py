"""Which addresses pages may be fetched from: public ones, and those of the networks that a setting names.

A fetcher that anybody may send anywhere reaches what only its machine can reach: services on loopback, the company's
network, a cloud's metadata (169.254.169.254). The check is made where a socket is made, on the very address that it is
to be connected to: a name that resolves elsewhere the second time, or a redirect, gets no further.
"""

import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import Any

from tasks.celery_app.environment import Network

ASSIGNED = ipaddress.IPv6Network("2000::/3")  # all IPv6 addresses that are of the public internet
BY_RELAY = ipaddress.IPv6Network("2002::/16")  # 6to4: leads to the IPv4 address within; given up by RFC 7526


class RefusedAddressError(OSError):
    """An address that is neither public nor allowed by the setting."""

    def __str__(self) -> str:
        return "neither public nor in INTERLOCK_FETCH_NETWORKS"


def allowed(host: str, networks: Sequence[Network]) -> bool:
    """Whether an IP address is public or in one of the networks. What is no IP address is not."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # `127.1` or `2130706433`, which the operating system takes for one
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if any(address in network for network in networks):
        return True
    if isinstance(address, ipaddress.IPv6Address) and (address not in ASSIGNED or address in BY_RELAY):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


def sockets(networks: Sequence[Network]) -> Callable[[tuple[Any, ...]], socket.socket]:
    """What makes the sockets of a connector, each for one address. It raises RefusedAddressError."""

    def made(of: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = of
        if not allowed(address[0], networks):
            raise RefusedAddressError(address[0])
        return socket.socket(family, kind, protocol)

    return made
