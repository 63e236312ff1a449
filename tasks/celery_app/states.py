"""How the states of tasks reach Redis: in one call of a script for all that are to be stored."""

import itertools
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from redis.exceptions import ResponseError

from tasks.celery_app import batches
from tasks.celery_app.outage import heals

log = logging.getLogger(__name__)

STATES_MAX = 200  # states in one call of the script
STATES_SIZE_MAX = 1_000_000  # characters of them, unless one alone is larger: a call holds up all others at the server

STORE = """
-- Stores states of tasks and publishes each. Once a task has succeeded, a second run of it changes nothing.
-- KEYS: four for each state: the task's key, which is also the channel; if the task ends and belongs to a batch, the
--   batch's index of ends, and the key that exists while the next end is awaited; if the task ends and is unique, the
--   key of its name. Where there is no such key, the task's key stands again.
-- ARGV: the beginning of a success's JSON; then for each state its JSON, seconds until it goes (0: never), the id of
--   the task, seconds until the batch's index goes, and the batch's channel.
-- Returns an error for each state, or '' where there was none.
-- It does not parse the JSON: Python writes some that cjson refuses, half a surrogate pair or a deeply nested list.
local function store(key, state, expires)
  local replies
  if expires == '0' then
    replies = {redis.pcall('SET', key, state), redis.pcall('PUBLISH', key, state)}
  else
    replies = {redis.pcall('SETEX', key, expires, state), redis.pcall('PUBLISH', key, state)}
  end
  for _, reply in ipairs(replies) do
    if type(reply) == 'table' and reply.err then return reply.err end
  end
  return ''
end

local function note_end(index, awaited, id, expires, channel)
  local time, last = redis.call('TIME'), redis.call('ZRANGE', index, -1, -1, 'WITHSCORES')
  local now_us = math.max(time[1] * 1000000 + time[2], (tonumber(last[2]) or 0) + 1)
  redis.call('ZADD', index, 'NX', string.format('%.0f', now_us), id)
  redis.call('EXPIRE', index, expires)
  if redis.call('DEL', awaited) == 1 then redis.call('PUBLISH', channel, '') end
end

local errors = {}
for number = 1, #KEYS / 4 do
  local key, argument = 4 * number - 3, 5 * number - 3
  local id = ARGV[argument + 2]
  local before = redis.pcall('GETRANGE', KEYS[key], 0, #ARGV[1] - 1)
  if type(before) == 'table' then
    errors[number] = before.err
  elseif before == ARGV[1] then
    errors[number] = ''
  else
    if KEYS[key + 1] ~= KEYS[key] then -- first: if this fails, nothing has changed
      note_end(KEYS[key + 1], KEYS[key + 2], id, ARGV[argument + 3], ARGV[argument + 4])
    end
    errors[number] = store(KEYS[key], ARGV[argument], ARGV[argument + 1])
  end
  if KEYS[key + 3] ~= KEYS[key] and redis.call('GET', KEYS[key + 3]) == id then redis.call('DEL', KEYS[key + 3]) end
end
return errors
"""


class State(NamedTuple):
    """A state of a task, as it is stored."""

    key: str
    text: str  # JSON
    expires: int  # seconds; 0: never
    id: str  # of the task
    passing: bool = False  # the next state of the task says all that this one says, or it matters no more
    batch: batches.Keys | None = None  # of the batch to which the task belongs, if this state is its end
    frees: str | None = None  # the key of a unique task's name, if this state is its end

    @property
    def keys(self) -> tuple[str, str, str, str]:
        """The keys, as the script takes them."""
        frees = self.frees or self.key
        if self.batch is None:
            return self.key, self.key, self.key, frees
        return self.key, self.batch.ended, self.batch.awaited, frees

    @property
    def arguments(self) -> tuple[str | int, ...]:
        """The arguments, as the script takes them."""
        channel = "" if self.batch is None else self.batch.channel
        return self.text, self.expires, self.id, max(self.expires, batches.KEPT), channel


class UnsentStates:
    """The states that a worker has yet to store, in order: all but a passing one that the task's next state overtakes.

    Args:
        store: stores states in order, and returns an error for each, or None; raises one if it may succeed later.
        changed: called when there is a state to send.
    """

    def __init__(
        self, store: Callable[[Sequence[State]], Iterable[Exception | None]], changed: Callable[[], None]
    ) -> None:
        self._store, self._changed = store, changed
        self._states: dict[int, State] = {}  # by number, in order
        self._passing: dict[str, int] = {}  # the numbers of the passing states among them, by key
        self._numbers = itertools.count()
        self._mutex = threading.Lock()

    def __len__(self) -> int:
        """Return how many states are not stored yet."""
        return len(self._states)

    def put(self, state: State) -> None:
        """Have a state stored soon. Any thread may call this."""
        with self._mutex:
            number = next(self._numbers)
            before = self._passing.pop(state.key, None)
            if before is not None:
                self._states.pop(before, None)
            if state.passing:
                self._passing[state.key] = number
            self._states[number] = state
        self._changed()

    def send(self) -> None:
        """Store all states; one that can never be stored is dropped. One thread at a time may call this.

        Raises:
            redis.RedisError: Redis is away, or refuses for a reason that passes. The states wait.
        """
        while self._states:
            with self._mutex:
                batch = self._batch()
            errors = self._errors(list(batch.values()))
            with self._mutex:
                for number, state in batch.items():
                    self._states.pop(number, None)
                    if self._passing.get(state.key) == number:
                        del self._passing[state.key]
            for state, error in zip(batch.values(), errors, strict=True):
                if error is not None:
                    log.error("the state of a task cannot be stored under %s: %s", state.key, error)

    def _batch(self) -> dict[int, State]:
        """Return the next states to send: one at least, however large it is. Call it under the mutex."""
        batch: dict[int, State] = {}
        size = 0
        for number, state in islice(self._states.items(), STATES_MAX):
            size += len(state.text)
            if batch and size > STATES_SIZE_MAX:
                break
            batch[number] = state
        return batch

    def _errors(self, states: Sequence[State]) -> Iterable[Exception | None]:
        """Store states, and return an error for each, or None. One that makes the script fail holds up no other."""
        try:
            return self._store(states)
        except ResponseError as error:
            if heals(error):
                raise
            if len(states) == 1:
                return [error]
            return [found for state in states for found in self._errors([state])]
