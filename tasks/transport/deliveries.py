"""The deliveries that this process holds: a thread acknowledges, gives back and renews them, and sweeps for others'.

The thread has a connection of its own, so it does not depend on the one by which a message came. What it has to tell
Redis waits until Redis takes it: each script may take effect twice without harm.
"""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from time import monotonic
from typing import Any, Protocol

import redis

from tasks.celery_app.outage import heals
from tasks.transport.dead_letters import headers_of
from tasks.transport.scripts import Keys, run

log = logging.getLogger(__name__)

AGAIN_AFTER = 0.5  # seconds
SWEEP_EVERY = 1.0  # seconds between two sweeps; sooner if a delayed message is due sooner
AT_THE_END = 5.0  # seconds that a worker, when it stops, waits for Redis to take what is settled
BATCH_MAX = 1000  # tokens in one call of a script
PAUSE = 0.005  # seconds between two requests, when more than one message was settled at once: so one request has many
SWEPT_MAX = 500  # messages that one sweep moves


@dataclass(frozen=True)
class Limits:
    """What the settings of the transport say."""

    timeout: float = 30.0  # seconds without renewal until a delivery goes back to its queue
    deliveries_max: int = 5  # then a message whose consumers vanish becomes a dead letter
    letters_max: int = 1000  # dead letters, the newest ones
    letters_seconds: float = 7 * 86_400.0  # since the newest letter

    @property
    def timeout_ms(self) -> int:
        """The timeout, as scripts take it."""
        return int(self.timeout * 1000)

    @property
    def letters(self) -> tuple[int, int]:
        """How many dead letters are kept, and for how many ms, as scripts take it."""
        return self.letters_max, int(self.letters_seconds * 1000)


class Unsent(Protocol):
    """What waits to be sent."""

    def __len__(self) -> int:
        """Return how much it is."""

    def send(self) -> None:
        """Send all of it, or raise an error."""


class Deliveries:
    """What one process holds of the queues of one Redis.

    Args:
        client: the client of the thread alone; it adds no prefix to keys.
        keys: the names of the keys.
        limits: the settings.
    """

    def __init__(self, client: redis.Redis, keys: Keys, limits: Limits) -> None:
        self.keys, self.limits = keys, limits
        self.renewable: Callable[[set[str]], set[str]] = lambda tokens: tokens
        """Which of the deliveries may be renewed. A worker sets this, and leaves out a task that runs for too long."""
        self.on_gone: Callable[[str], None] = lambda _: None
        """Called with the token of a delivery that went back although it is held. A worker tells the task."""
        self.states: Unsent | None = None
        """The results of a worker, which are sent before the acknowledgements of their messages."""
        self.answered = monotonic()
        """When the server answered the thread last, by the clock `monotonic`. A refusal is an answer."""
        self._client = client
        self._held: set[str] = set()  # tokens
        self._acknowledged: deque[str] = deque()
        self._given_back: deque[str] = deque()
        self._buried: deque[tuple[str, str]] = deque()  # with the reason, a JSON object
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._renew_at = self._sweep_at = self._next_at = 0.0
        self._trouble = False

    def begin(self) -> None:
        """Start the thread, if it does not run in this process. It runs until the process ends."""
        with self._changed:
            if self._thread is None:
                self._renew_at, self.answered = monotonic() + self.limits.timeout / 3, monotonic()
                self._thread = threading.Thread(target=self._run, name="deliveries", daemon=True)
                self._thread.start()

    @property
    def begun(self) -> bool:
        """Whether the thread runs: only then does `answered` go on."""
        return self._thread is not None

    def hold(self, token: str) -> None:
        """Note a delivery that a script has just made."""
        with self._changed:
            self._held.add(token)

    def acknowledge(self, token: str) -> None:
        """Remove a delivery from Redis, soon. Any thread may call this."""
        self._settle(token, self._acknowledged, token)

    def give_back(self, token: str) -> None:
        """Give a message back to its queue, soon. Any thread may call this."""
        self._settle(token, self._given_back, token)

    def bury(self, token: str, reason: str) -> None:
        """Move a message to the dead letters, soon, with a JSON object that says why. Any thread may call this."""
        self._settle(token, self._buried, (token, reason))

    def _settle(self, token: str, settled: deque[Any], entry: Any) -> None:
        with self._changed:
            if token not in self._held:
                return  # it is settled already, or another process has it
            self._held.discard(token)
            settled.append(entry)
            self._changed.notify()

    @property
    def unsent(self) -> int:
        """How many deliveries are settled here, and states set, and not yet in Redis."""
        states = 0 if self.states is None else len(self.states)
        return len(self._acknowledged) + len(self._given_back) + len(self._buried) + states

    def wake(self) -> None:
        """Have the thread send what is unsent. Any thread may call this."""
        with self._changed:
            self._changed.notify()

    def wait_until_sent(self) -> None:
        """Wait until Redis has taken all that is settled, for AT_THE_END seconds at most."""
        with self._changed:
            if not self._changed.wait_for(lambda: not self.unsent, AT_THE_END):
                log.error("Redis did not take %d acknowledgements: these tasks run again", self.unsent)

    def renew(self, client: redis.Redis, tokens: Iterable[str]) -> set[str]:
        """Renew deliveries over that client; return those that are gone."""
        gone: set[str] = set()
        rest = list(tokens)
        while rest:
            some, rest = rest[:BATCH_MAX], rest[BATCH_MAX:]
            reply = run("renew", client, [self.keys.deadlines], [self.limits.timeout_ms, *some])
            gone.update(token.decode() for token in reply)
        return gone

    # --- the thread ---

    def _run(self) -> None:
        client = self._client
        while True:
            with self._changed:
                due = min(self._renew_at, self._sweep_at)
                if not self.unsent:
                    self._changed.wait(max(0.0, min(due - monotonic(), SWEEP_EVERY)))
            time.sleep(max(0.0, self._next_at - monotonic()))
            failed = None
            steps = (self._renew_at, self._renew_all), (0.0, self._send_settled), (self._sweep_at, self._sweep)
            for due, step in steps:
                try:
                    if monotonic() >= due:
                        step(client)
                except Exception as error:  # whatever it is: the other steps go on, and this one is tried again
                    failed = error
            if failed is None:
                self._trouble = False
            else:
                self._after(failed)

    def _after(self, error: Exception) -> None:
        """Say once that there is trouble, and try again a little later."""
        if isinstance(error, redis.ResponseError | redis.BusyLoadingError):
            self.answered = monotonic()
        if not self._trouble and heals(error):
            log.warning("%d results and acknowledgements wait until Redis takes them: %s", self.unsent, error)
        elif not self._trouble:
            log.error("a command about deliveries failed, trying again: %s", error, exc_info=error)
        self._trouble = True
        self._renew_at = self._sweep_at = 0.0
        time.sleep(AGAIN_AFTER)

    def _send_settled(self, client: redis.Redis) -> None:
        acknowledged, given_back, buried = len(self._acknowledged), len(self._given_back), len(self._buried)
        if acknowledged + given_back > 1:
            self._next_at = monotonic() + PAUSE
        if self.states:
            self.states.send()  # among them those of the messages that are settled by now
        for tokens in self._batches(self._acknowledged, acknowledged):
            for token in run("settle", client, self.keys.noted, tokens):
                log.warning("delivery %s was acknowledged too late: its message had gone back", token.decode())
        for tokens in self._batches(self._given_back, given_back):
            run("give_back", client, self.keys.noted, tokens)
        for letters in self._batches(self._buried, buried, 1):
            self._send_buried(client, *letters[0])
        with self._changed:
            if not self.unsent:
                self._changed.notify_all()

    def _batches(self, settled: deque[Any], count: int, size: int = BATCH_MAX) -> Iterator[list[Any]]:
        """Yield the first `count` that are settled, so much at a time.

        A batch counts as sent when the next one is asked for.
        """
        while count > 0:
            with self._changed:
                batch = list(islice(settled, min(size, count)))
            yield batch
            with self._changed:
                for _ in batch:
                    settled.popleft()  # no other thread removes any
            count -= len(batch)

    def _send_buried(self, client: redis.Redis, token: str, reason: str) -> None:
        """Move one message to the dead letters. If that can never succeed, it goes back after its deadline."""
        keys = [*self.keys.noted, self.keys.dead_letters]
        try:
            _tell_of_dropped(run("bury", client, keys, [token, reason, *self.limits.letters]))
        except redis.ResponseError as error:
            if heals(error):
                raise
            log.exception("delivery %s cannot become a dead letter: its message goes back", token)

    def _renew_all(self, client: redis.Redis) -> None:
        with self._changed:
            held = set(self._held)
        for token in self.renew(client, self.renewable(held) if held else held):
            with self._changed:
                gone = token in self._held  # if not, it was settled meanwhile
                self._held.discard(token)
            if gone:
                self.on_gone(token)
        self._renew_at = monotonic() + self.limits.timeout / 3

    def _sweep(self, client: redis.Redis) -> None:
        keys, limits = self.keys, self.limits
        names = [*keys.noted, keys.delayed, keys.dead_letters, keys.sweeps]
        arguments = [limits.timeout_ms, limits.deliveries_max, SWEPT_MAX, *limits.letters]
        returned, dead, dropped, left, errors = run("sweep", client, names, arguments)
        self.answered = monotonic()
        for consumer, message in returned:
            log.warning("worker %s no longer renews task %s: its message goes back", consumer.decode(), named(message))
        if dead:
            log.error("%d messages are dead letters now: their workers vanished again and again", dead)
        _tell_of_dropped(dropped)
        for error in errors:
            log.error("a queue cannot be used, its messages wait: %s", error.decode(errors="replace"))
        pause = SWEEP_EVERY if left < 0 else min(SWEEP_EVERY, left / 1000)
        self._sweep_at = monotonic() + (0.0 if len(returned) >= SWEPT_MAX else pause)


def _tell_of_dropped(count: int) -> None:
    if count:
        log.warning("%d old dead letters were dropped to make room for newer ones", count)


def named(message: bytes) -> str:
    """Return the name and the id of a message's task, for the log."""
    headers = headers_of(message)
    return f"{headers['task']}[{headers['id']}]" if {"task", "id"} <= headers.keys() else repr(message[:60])


_all: dict[tuple[str, Keys, Limits], Deliveries] = {}
_mutex = threading.Lock()


def _begin_anew() -> None:
    """Forget in a child of a fork what its parent holds."""
    global _mutex
    _mutex = threading.Lock()
    _all.clear()


os.register_at_fork(after_in_child=_begin_anew)


def deliveries_at(url: str, connect: Callable[[], redis.Redis], keys: Keys, limits: Limits) -> Deliveries:
    """Return what this process holds at that address, for all connections to it: one thread renews all."""
    with _mutex:
        found = _all.get((url, keys, limits))
        if found is None:
            found = _all[url, keys, limits] = Deliveries(connect(), keys, limits)
        return found


def all_deliveries() -> list[Deliveries]:
    """Return what this process holds, at each address."""
    return list(_all.values())
