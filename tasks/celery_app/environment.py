"""The environment variables that users set. Each is checked at start; an error says what is allowed."""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from interlock import address
from interlock._secrets import secret

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

WAITING_SHARE = 0.8  # of the longest task's time: a task that waits no longer than this ends by itself in time


@dataclass(frozen=True)
class Environment:
    """The variables as they are set, or their defaults."""

    redis_url: str
    """REDIS_URL: where Redis is: the broker, the results and the primitives use the same one."""
    prefix: str
    """INTERLOCK_PREFIX: the prefix of all keys, so that several stacks can share a Redis."""
    task_seconds_max: int
    """INTERLOCK_TASK_SECONDS_MAX: a worker ends a CPU-bound task or a coroutine that runs longer; a task on threads
    must end earlier by itself."""
    visibility_seconds: int
    """INTERLOCK_VISIBILITY_SECONDS: a worker renews its messages every third of this; those of one that vanished are
    back on their queues after it."""
    deliveries_max: int
    """INTERLOCK_DELIVERIES_MAX: a message whose workers vanish that often becomes a dead letter."""
    result_seconds: int
    """INTERLOCK_RESULT_SECONDS: how long Redis keeps results."""
    outage_seconds_max: int
    """INTERLOCK_OUTAGE_SECONDS_MAX: a worker that has been without Redis for longer counts as dead to the probe."""
    mariadb_url: str | None
    """INTERLOCK_MARIADB_URL: the MariaDB that tasks/stock/ uses; None: there is none."""
    blocked_ms: int
    """INTERLOCK_BLOCKED_MS: the worker's log names a coroutine that blocks its event loop for longer."""
    fetches_per_host: int
    """INTERLOCK_FETCHES_PER_HOST: how many pages all machines together fetch at once from one host."""
    fetch_networks: tuple[Network, ...]
    """INTERLOCK_FETCH_NETWORKS: networks that pages may be fetched from although they are not public."""


MARIADB_FORM = "mysql://user:password@host:port/database, with characters as @ and / in it written as %40 and %2F"
MARIADB_URL = re.compile(
    r"mysql://(?P<user>[^\s:@/?#]+):(?P<password>[^\s:@/?#]+)@(?P<host>[\w.-]+|\[[0-9a-fA-F:]+\])"
    r"(:(?P<port>[0-9]{1,5}))?/(?P<database>[\w$-]{1,64})",
    re.ASCII,
)


def whole_number(variables: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    """Return a variable that holds a whole number from low to high. Raises ValueError if it holds anything else."""
    text = variables.get(name) or str(default)
    if not (re.fullmatch("[0-9]{1,9}", text) and low <= int(text) <= high):
        raise ValueError(f"{name} must be a whole number from {low} to {high}, not {text[:20]!r}")
    return int(text)


def networks(text: str) -> tuple[Network, ...]:
    """Return the networks that a text names, separated by commas: `127.0.0.0/8, fd00::/8`. Raises ValueError."""
    return tuple(ipaddress.ip_network(each.strip()) for each in text.split(",") if each.strip())


def network_list(variables: Mapping[str, str], name: str) -> tuple[Network, ...]:
    """Return a variable that holds networks. Raises ValueError if it holds anything else."""
    text = variables.get(name, "")
    try:
        return networks(text)
    except ValueError as error:
        raise ValueError(f"{name} must be networks such as 127.0.0.0/8,fd00::/8, not {text[:40]!r}: {error}") from None


def mariadb_url(variables: Mapping[str, str] = os.environ) -> str | None:
    """Return INTERLOCK_MARIADB_URL, None if it is not set. Raises ValueError, without the password, if it is wrong."""
    text = secret("INTERLOCK_MARIADB_URL", variables)
    if text is not None and not ((parts := MARIADB_URL.fullmatch(text)) and int(parts["port"] or 3306) < 65_536):
        raise ValueError(f"INTERLOCK_MARIADB_URL must be {MARIADB_FORM}; what it is set to is something else")
    return text


def read(variables: Mapping[str, str] = os.environ) -> Environment:
    """Return the environment, checked. Raises ValueError for the first variable that is wrong."""
    return Environment(
        redis_url=address.url(),
        prefix=address.prefix(),
        task_seconds_max=whole_number(variables, "INTERLOCK_TASK_SECONDS_MAX", 300, 5, 86_400),
        visibility_seconds=whole_number(variables, "INTERLOCK_VISIBILITY_SECONDS", 30, 2, 86_400),
        deliveries_max=whole_number(variables, "INTERLOCK_DELIVERIES_MAX", 5, 1, 1000),
        result_seconds=whole_number(variables, "INTERLOCK_RESULT_SECONDS", 3600, 60, 7 * 86_400),
        outage_seconds_max=whole_number(variables, "INTERLOCK_OUTAGE_SECONDS_MAX", 300, 10, 86_400),
        mariadb_url=mariadb_url(variables),
        blocked_ms=whole_number(variables, "INTERLOCK_BLOCKED_MS", 1000, 10, 60_000),
        fetches_per_host=whole_number(variables, "INTERLOCK_FETCHES_PER_HOST", 4, 1, 1000),
        fetch_networks=network_list(variables, "INTERLOCK_FETCH_NETWORKS"),
    )
