"""How often the message of a task went back to its queue, for its workers vanished."""

import json
from dataclasses import dataclass

import redis

from tasks.transport.scripts import Keys, run


@dataclass(frozen=True)
class Return:
    """A delivery that its worker no longer renewed."""

    consumer: str
    """The name of the worker."""
    taken: float
    """When the worker took the message, in seconds since 1970, by the server's clock."""
    returned: float
    """When the message went back to its queue, in seconds since 1970."""


def returns_of(client: redis.Redis, keys: Keys, id: str) -> list[Return]:
    """Return the deliveries, before the present one, of the message of a task that a worker has now.

    Costs one round trip. The server looks through the messages that are delivered only if any went back of late.

    Args:
        client: adds no prefix to keys.
        keys: the names of the transport's keys.
        id: of the task.
    """
    found = json.loads(run("find_returns", client, [keys.deliveries, keys.returns], [id]))
    return [Return(consumer, taken / 1000, returned / 1000) for consumer, taken, returned in found]
