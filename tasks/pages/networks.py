"""The addresses that pages may be fetched from: public ones, and those of the networks that a setting names.

A fetcher that follows any URL reaches what only its machine can reach: services on loopback, the company's network, a
cloud's metadata (169.254.169.254). That attack is known as server-side request forgery. The fetcher checks each address
when it makes the socket for that address. So neither a redirect nor a name that resolves elsewhere the second time (DNS
rebinding) gets past the check.
"""

import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import Any

from tasks.celery_app.environment import Network

ASSIGNED = ipaddress.IPv6Network("2000::/3")  # all IPv6 addresses of the public internet
BY_RELAY = ipaddress.IPv6Network("2002::/16")  # 6to4, deprecated by RFC 7526: leads to the IPv4 address inside


class RefusedAddressError(OSError):
    """An address that is neither public nor allowed by the setting."""

    def __str__(self) -> str:
        return "neither public nor in INTERLOCK_FETCH_NETWORKS"


def allowed(host: str, networks: Sequence[Network]) -> bool:
    """Whether a text is an IP address that is public or in one of the networks."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # `127.1` or `2130706433`, which the operating system takes for an address
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if any(address in network for network in networks):
        return True
    if isinstance(address, ipaddress.IPv6Address) and (address not in ASSIGNED or address in BY_RELAY):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


def sockets(networks: Sequence[Network]) -> Callable[[tuple[Any, ...]], socket.socket]:
    """Return the function that makes a connector's socket for one address, or raises RefusedAddressError."""

    def made(of: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = of
        if not allowed(address[0], networks):
            raise RefusedAddressError(address[0])
        return socket.socket(family, kind, protocol)

    return made
