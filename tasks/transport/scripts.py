"""The transport's Lua scripts, and the names of its keys in Redis."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import redis
from redis.exceptions import NoScriptError

from interlock._protocol.scripts import Script, composed


@cache
def script(name: str) -> Script:
    """Return the script of that name. `put` stands alone, for its text travels with each message of a batch."""
    return composed(files("tasks.transport") / "lua", ("put",) if name == "put" else ("shared", name))


def run(name: str, client: redis.Redis, keys: Sequence[str], arguments: Iterable[Any]) -> Any:
    """Run a script on a client that adds no prefix to keys: one round trip, or two the first time."""
    wanted, command = script(name), (len(keys), *keys, *arguments)
    execute: Callable[..., Any] = client.execute_command
    try:
        return execute("EVALSHA", wanted.digest, *command)
    except NoScriptError:
        return execute("EVAL", wanted.text, *command)


@dataclass(frozen=True)
class Keys:
    """The names of the keys, for one prefix of all keys and one separator between a queue's name and its priority."""

    prefix: str
    separator: str

    @classmethod
    def of(cls, app: Any) -> "Keys":
        """Return the names of the keys that a Celery app uses."""
        options = app.conf.broker_transport_options
        return cls(options["global_keyprefix"], options["sep"])

    def queue_of(self, list_: str) -> str:
        """Return the name of the queue whose list this is: a queue has a list for each priority."""
        return list_.removeprefix(self.prefix).partition(self.separator)[0]

    def wake(self, queue: str) -> str:
        """A list with one element at most: its taker looks at the queue."""
        return f"{self.prefix}{queue}{self.separator}wake"

    @property
    def deliveries(self) -> str:
        """A hash, token -> where the message was taken and by whom, and the message. Its name is kombu's."""
        return f"{self.prefix}unacked"

    @property
    def deadlines(self) -> str:
        """A sorted set of tokens, scored by when the consumer's lease ends, in ms of the server's clock."""
        return f"{self.prefix}unacked_deadlines"

    @property
    def returns(self) -> str:
        """A hash, a message's digest -> its deliveries that were not renewed: consumer, taken and returned in ms."""
        return f"{self.prefix}unacked_returns"

    @property
    def noted(self) -> list[str]:
        """The three keys in which a delivery is noted."""
        return [self.deliveries, self.deadlines, self.returns]

    @property
    def delayed(self) -> str:
        """A sorted set of where a message goes and the message, scored by when it is due, in ms since 1970."""
        return f"{self.prefix}delayed"

    @property
    def dead_letters(self) -> str:
        """A list of messages that no worker can run, the newest first, each a JSON object."""
        return f"{self.prefix}dead-letters"

    @property
    def sweeps(self) -> str:
        """A hash with the time of the last sweep, and the time before which none returns a message."""
        return f"{self.prefix}unacked_sweeps"


def where(list_: str, wake: str) -> str:
    """Return where a delayed message goes, as `sweep.lua` reads it."""
    return json.dumps([list_, wake])
