"""Dead letters: messages that no worker can run, in a list in Redis, each with the reason and its deliveries.

A letter is a JSON object: `reason`, `message` (the whole message as text, or `base64` if it is no text), `list` (the
queue's key in Redis), `seconds` (since 1970), `deliveries` (worker, taken, and returned if it was not renewed, in ms).
If a worker refused the message, `host` names its machine, and `id` and `task` the task, where they are known.
"""

import base64
import json
from dataclasses import dataclass
from hashlib import sha1
from typing import Any

import redis

from tasks.transport.scripts import Keys, run


def headers_of(message: bytes) -> dict[str, Any]:
    """Return the headers of a message as it lies in a queue; none if it is malformed."""
    try:
        found = json.loads(message)["headers"]
        return found if isinstance(found, dict) else {}
    except (ValueError, LookupError, TypeError, RecursionError):
        return {}


@dataclass(frozen=True)
class Letter:
    """One dead letter."""

    raw: bytes
    """The letter as Redis has it."""
    fields: dict[str, Any]
    """The JSON object."""

    @property
    def message(self) -> bytes:
        """The message as it lay in its queue."""
        if "base64" in self.fields:
            return base64.b64decode(self.fields["base64"])
        return str(self.fields.get("message", "")).encode("utf-8", "surrogateescape")

    @property
    def headers(self) -> dict[str, Any]:
        """The headers of the message; none if it is malformed."""
        return headers_of(self.message)

    @property
    def id(self) -> str:
        """The id of the task; if it has none, a digest of the letter."""
        found = self.fields.get("id") or self.headers.get("id")
        return str(found) if found else sha1(self.raw, usedforsecurity=False).hexdigest()[:12]

    @property
    def task(self) -> str:
        """The name of the task; empty if none is known."""
        return str(self.fields.get("task") or self.headers.get("task") or "")


def read(client: redis.Redis, keys: Keys) -> list[Letter]:
    """Return all dead letters, the newest first."""
    found: list[bytes] = client.lrange(keys.dead_letters, 0, -1)  # type: ignore[assignment]  # redis-py: or a coroutine
    return [Letter(raw, json.loads(raw.decode("utf-8", "surrogateescape"))) for raw in found]


def replay(client: redis.Redis, keys: Keys, letter: Letter) -> bool:
    """Put a message on its queue again, as if it were new. Returns False if the letter is gone."""
    return _remove(client, keys, letter, letter.message)


def delete(client: redis.Redis, keys: Keys, letter: Letter) -> bool:
    """Drop a dead letter. Returns False if it is gone."""
    return _remove(client, keys, letter, b"")


def _remove(client: redis.Redis, keys: Keys, letter: Letter, message: bytes) -> bool:
    names = [keys.dead_letters, letter.fields.get("list", ""), letter.fields.get("wake", "")]
    return bool(run("replay", client, names, [letter.raw, message]))
