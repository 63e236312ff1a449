"""Many messages for one queue: put in one round trip, each id once, and withdrawn while no worker has them.

kombu has `Producer.batch()`, which sends a command for each message in a pipeline. If the connection breaks, nobody
knows which commands took effect. Here one script puts all messages of a call, and notes their ids: so the call may be
repeated.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

from kombu.utils.json import dumps

from tasks.transport import scripts
from tasks.transport.channel import Channel, _due_ms, stamp


class Put(NamedTuple):
    """What became of the messages of one call."""

    done: int
    """How many were put now or before: the queue has no room for the others."""
    new: int
    """How many were put now."""
    known: int
    """How many ids the set has."""
    waiting: int
    """How many messages the queue has."""


@dataclass(frozen=True)
class Sendable:
    """A message as it lies in a queue."""

    id: str
    text: str
    queue: str
    priority: int
    due_ms: int | None
    """When it is due, in ms since 1970; None: now."""

    @property
    def size(self) -> int:
        """Return about how many bytes it takes."""
        return len(self.text)


def sendable(channel: Channel, id: str, queue: str, message: Any) -> Sendable:
    """Return a message that was prepared by the channel as it will lie in its queue."""
    channel._inplace_augment_message(message, "", queue)
    stamp(message)
    return Sendable(id, dumps(message), queue, channel._get_message_priority(message), _due_ms(message))


def put_many(channel: Channel, messages: list[Sendable], sent: str, kept: float, most: int | None) -> Put:
    """Put messages on the queue, and with the priority and the due time, of the first one.

    Args:
        channel: a channel to the broker.
        messages: one at least.
        sent: the key of the set of ids that were put.
        kept: how many seconds Redis keeps the set.
        most: how many messages the queue may have; None: any number. Delayed messages are not on it.
    """
    first = messages[0]
    list_, wake = _lists(channel, first)
    arguments: list[Any] = [int(kept * 1000), "" if most is None else most, first.due_ms or ""]
    arguments.append(scripts.where(list_, wake) if first.due_ms else "")
    for message in messages:
        arguments += (message.id, message.text)
    keys = (list_, wake, channel.keys.delayed, sent)
    return Put(*scripts.run("put_many", channel.plain_client, keys, arguments))


def withdraw(channel: Channel, message: Sendable) -> bool:
    """Remove a message from its queue; return False if a worker has taken it, or somebody has removed it.

    This takes the server longer the more messages the queue has.
    """
    list_, wake = _lists(channel, message)
    arguments = (message.text, scripts.where(list_, wake))
    return bool(scripts.run("withdraw", channel.plain_client, (list_, channel.keys.delayed), arguments))


def waiting(channel: Channel, message: Sendable) -> int:
    """Return how many messages the queue of a message has, of the same priority."""
    return int(channel.plain_client.llen(_lists(channel, message)[0]))


def _lists(channel: Channel, message: Sendable) -> tuple[str, str]:
    """Return the list of a message's queue and priority, and the wake-up list of the queue."""
    list_ = channel.global_keyprefix + channel._q_for_pri(message.queue, message.priority)
    return list_, channel.keys.wake(message.queue)
