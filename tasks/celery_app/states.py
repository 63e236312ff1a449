"""How the states of tasks reach Redis: in one call of a script for all that are to be stored."""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import NamedTuple

log = logging.getLogger(__name__)

BATCH_MAX = 200  # states in one call of the script

STORE = """
-- Stores states of tasks and publishes each. Once a task has succeeded, a second run of it changes nothing.
-- KEYS: the tasks' keys, which are also the channels.
-- ARGV: the beginning of a success's JSON; then for each key the state as JSON, and seconds until it goes (0: never).
-- Returns an error for each key, or '' where there was none.
-- It does not parse the JSON: Python writes some that cjson refuses, half a surrogate pair or a deeply nested list.
local function store(key, state, expires)
  local replies = {redis.pcall('GETRANGE', key, 0, #ARGV[1] - 1)}
  if replies[1] == ARGV[1] then return '' end
  if type(replies[1]) == 'string' and expires == '0' then
    replies = {redis.pcall('SET', key, state), redis.pcall('PUBLISH', key, state)}
  elseif type(replies[1]) == 'string' then
    replies = {redis.pcall('SETEX', key, expires, state), redis.pcall('PUBLISH', key, state)}
  end
  for _, reply in ipairs(replies) do
    if type(reply) == 'table' and reply.err then return reply.err end
  end
  return ''
end

local errors = {}
for number, key in ipairs(KEYS) do
  errors[number] = store(key, ARGV[2 * number], ARGV[2 * number + 1])
end
return errors
"""


class State(NamedTuple):
    """A state of a task, as it is stored."""

    key: str
    text: str  # JSON
    expires: int  # seconds; 0: never


class UnsentStates:
    """The states that a worker has yet to store: the latest of each task.

    Args:
        success: the beginning of a success's JSON: nothing follows a success.
        store: stores states, and returns an error for each, or None; raises an error if it may succeed later.
        changed: called when there is a state to send.
    """

    def __init__(
        self, success: str, store: Callable[[Sequence[State]], Iterable[Exception | None]], changed: Callable[[], None]
    ) -> None:
        self._success, self._store, self._changed = success, store, changed
        self._states: dict[str, State] = {}
        self._mutex = threading.Lock()

    def __len__(self) -> int:
        """Return how many states are not stored yet."""
        return len(self._states)

    def put(self, state: State) -> None:
        """Have a state stored soon. Any thread may call this."""
        with self._mutex:
            before = self._states.pop(state.key, None)
            self._states[state.key] = before if before and before.text.startswith(self._success) else state
        self._changed()

    def send(self) -> None:
        """Store all states; one that can never be stored is dropped. One thread at a time may call this.

        Raises:
            redis.RedisError: Redis is away, or refuses for a reason that passes. The states wait.
        """
        while self._states:
            with self._mutex:
                batch = list(islice(self._states.values(), BATCH_MAX))
            errors = self._store(batch)
            with self._mutex:
                for state in batch:
                    if self._states.get(state.key) is state:
                        del self._states[state.key]
            for state, error in zip(batch, errors, strict=True):
                if error is not None:
                    log.error("the state of a task cannot be stored under %s: %s", state.key, error)
