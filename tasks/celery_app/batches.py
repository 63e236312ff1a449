"""What Redis keeps of a batch, the tasks that one `enqueue_many` enqueues: which were enqueued, and which have ended.

A message belongs to a batch if its group, one of Celery's headers, begins with GROUP_MARK. The worker then notes the
end of the task in the batch's index, in the script that stores the result. So whoever waits for a batch reads one key,
however many tasks it has.
"""

from dataclasses import dataclass
from typing import Any, TypeGuard

from kombu.utils.encoding import bytes_to_str

GROUP_MARK = "batch:"
KEPT = 86_400  # seconds: how long Redis keeps the ids of a batch after the last was enqueued, or its index of ends


def group_of(name: str) -> str:
    """Return the group of the messages of a batch."""
    return GROUP_MARK + name


def is_batch(group: Any) -> TypeGuard[str]:
    """Whether a message's group says that the message belongs to a batch."""
    return isinstance(group, str) and group.startswith(GROUP_MARK)


@dataclass(frozen=True)
class Keys:
    """The names of a batch's keys in Redis, and of its channel."""

    sent: str
    """A set of the ids of the tasks that were enqueued."""
    ended: str
    """A sorted set of the ids of the tasks that have ended, scored by when, in us of the server's clock.

    No two have the same score. If Redis crashes and forgets the last ends, those tasks end again, later.
    """
    awaited: str
    """It exists while somebody waits for the next end."""
    channel: str
    """Where the next end is published, if it is awaited."""


def keys_of(backend: Any, group: str) -> Keys:
    """Return the names of a batch's keys, with the prefix of all keys. The backend is the app's."""
    names = [backend.get_key_for_group(group, f".{part}") for part in ("sent", "ended", "awaited")]
    names.append(backend.get_key_for_task(group))  # producers may listen on the channels of results alone
    return Keys(*map(bytes_to_str, names))
