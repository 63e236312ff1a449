"""`Barrier`: so many parties wait for each other, on any machine."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import redis

from interlock._arguments import checked_count, checked_ttl, checked_wait
from interlock._io.steps import Blocking, Steps
from interlock._io.wire import Client
from interlock._primitive import Primitive, blocking, who
from interlock._protocol import scripts
from interlock._protocol.scripts import text
from interlock._session.heartbeat import REASK
from interlock._session.session import Session
from interlock._text import described
from interlock.errors import InterlockError, NameTakenError

log = logging.getLogger("interlock")


@dataclass(frozen=True)
class BarrierStatistics:
    """A look at a Barrier, as Redis saw it at one moment."""

    kind: str
    name: str
    parties: int
    broken: bool
    waiters: tuple[str, ...]  # host:pid and task, in no order: all are released at once


class Barrier(Primitive):
    """A place where so many parties wait for each other; `threading.Barrier` between machines.

    >>> import interlock, threading
    >>> start = interlock.Barrier(2, name="start")
    >>> other = threading.Thread(target=start.wait)
    >>> other.start()
    >>> start.wait(timeout=20) in (0, 1)
    True
    >>> other.join()
    >>> start.n_waiting, start.broken
    (0, False)

    Differs from `threading.Barrier`: it has a name, and all barriers of one name are one, and must be made for one
    number of parties. A party that is interrupted while it waits breaks it. While the action runs the clock of those
    who wait goes on: a timeout, `abort` and `reset` break the barrier then too, also for the party that runs the
    action. `repr` asks Redis.

    The action stays where it was given: pickle and JSON leave it behind, for only names travel. It is run once a
    round, by the last to arrive *of those that have one*, before any is released. If it raises, the barrier is broken.

    A party that dies while it waits, or in its action, breaks the barrier: one that is silent for 3.5 s counts as dead,
    and is noticed by whoever asks next, at the latest by another party within a second. So does one that is stopped
    for as long, and an action that lets no other thread of its process run. If nobody at all was heard for so long, it
    may have been Redis that was away: then all have 3.5 s more. A party that dies after it arrived and is not yet
    missed counts as there. Who has left a round with a result has it, whatever happens to others.

    Args:
        parties: how many wait for each other, 1 or more.
        action: called with no arguments by one party of each round.
        timeout: how long `wait` waits if it is not told, in seconds; None: for ever.
        name: None: a fresh unique one.
        client: a `redis.Redis` or `redis.cluster.RedisCluster`; None: from `REDIS_URL`. Copies keep it, pickles cannot.
        ttl: seconds that it stays broken without being used, 1 to a year; None: for ever, until `reset` or `unlink`,
            if it has a name, else a day. One that is not broken leaves Redis after a day without use.

    Costs the last party one round trip, two with an action. Who has to wait asks again each second, and once more
    when it is woken.
    """

    kind = "Barrier"

    def __init__(
        self,
        parties: int,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
        *,
        name: str | None = None,
        client: Client | None = None,
        ttl: float | None = None,
    ) -> None:
        super().__init__(name, client)
        parties = checked_count("parties", parties)
        if parties < 1:
            raise ValueError(f"parties must be 1 or more, not {parties}")
        if action is not None and not callable(action):
            raise TypeError(f"action must be callable or None, not {type(action).__name__}")
        self._parties = parties
        self._action = action
        self._timeout = checked_wait(True, timeout, forever=None)
        self.ttl = checked_ttl(ttl, named=name is not None)

    def parameters(self) -> dict[str, Any]:
        return {"parties": self._parties, "timeout": self._timeout, "name": self.name, "ttl": self.ttl}

    @blocking
    def wait(self, timeout: float | None = None) -> Steps[int]:
        """Wait until all parties are here.

        Args:
            timeout: how long to wait, in seconds; None: as long as the barrier was made for.

        Returns:
            The caller's place in order of arrival: 0 to `parties` - 1.

        Raises:
            BrokenBarrierError: `threading`'s. It is broken, or was reset, or the time is over: then it is broken now.
            UnreachableError: no Redis answers at first; later it is waited for.
            NameTakenError: the name stands for another kind of thing, or for another number of parties.
        """
        seconds = checked_wait(True, self._timeout if timeout is None else timeout, forever=None)
        yield from self._session.lingering.commit_all()
        party = _Party(self._session, self._step, self._action)
        try:
            answer = yield from self._session.polling.answered(party.ask, party.leave, seconds)
        finally:
            if party.failure is not None:
                raise party.failure
        if answer is None or answer < 0:
            raise threading.BrokenBarrierError(f"the barrier {self.name!r} is broken, or was reset")
        return answer

    @blocking
    def abort(self) -> Steps[None]:
        """Break it: who waits, and who comes, gets `BrokenBarrierError`, until `reset`. One round trip.

        Raises:
            UnreachableError: no Redis answers. It may be broken all the same.
            NameTakenError: as in `wait`.
        """
        yield from self._change("abort")

    @blocking
    def reset(self) -> Steps[None]:
        """Make it as new; who waits gets `BrokenBarrierError`. One round trip. Errors as in `abort`."""
        yield from self._change("reset")

    @property
    def parties(self) -> int:
        """How many wait for each other."""
        return self._parties

    @property
    def n_waiting(self) -> int:
        """How many wait now. One round trip."""
        return int(self._look()[2])

    @property
    def broken(self) -> bool:
        """Whether it is broken. One round trip."""
        return bool(self._look()[1])

    @blocking
    def unlink(self) -> Steps[None]:
        """Delete it: it is as new. Parties that wait arrive anew, within a second."""
        yield from self._session.checked()
        yield ("DEL", *self._keys)

    @blocking
    def statistics(self) -> Steps[BarrierStatistics]:
        """Whether it is broken, and who waits. One round trip."""
        _, broken, _, ids = yield from self._run("list")
        return BarrierStatistics(self.kind, self.name, self._parties, bool(broken), tuple(who(text(id)) for id in ids))

    def __repr__(self) -> str:
        try:
            _, broken, waiting, _ = self._look()
            state = "broken" if broken else f"waiters={waiting}/{self._parties}"
        except (redis.RedisError, OSError):
            state = "unreachable"
        return f"<interlock.{self.kind} at {self.name!r}: {state}>"

    # --- the script ---

    @property
    def _keys(self) -> tuple[str, str]:
        state = self._session.resource(self.kind, self.name).state
        return state, f"{state}:waiters"

    @blocking
    def _look(self) -> Steps[Any]:
        return self._run("look")

    def _run(self, verb: str, id: str = "") -> Steps[Any]:
        session = self._session
        yield from session.checked()
        ttl_ms = "" if self.ttl is None else round(self.ttl * 1000)
        argv = (self.kind, self._parties, ttl_ms, verb, id, int(self._action is not None))
        reply = yield from scripts.run("barrier_call", self._keys, argv)
        if int(reply[0]) == scripts.OTHER_PERMITS:
            raise NameTakenError(
                f"the {self.kind} {self.name!r} is for {text(reply[1])} parties, not {self._parties}: {scripts.CHANGED}"
            )
        session.resource(self.kind, self.name).raise_mismatch(reply)
        return reply

    def _step(self, verb: str, id: str) -> Steps[tuple[int, int]]:
        """What a party does: arrive, open or leave. The code of the answer, and the party's index."""
        reply = yield from self._run(verb, id)
        return int(reply[0]), int(reply[1]) if len(reply) > 1 else 0

    def _change(self, verb: str) -> Steps[None]:
        """Abort or reset, once, however often it is sent."""
        yield from self._session.checked()
        holdings = self._session.holdings
        call = holdings.new_id()
        yield from self._run(verb, call)
        holdings.end_id(call)


class _Party:
    """One call of `wait`: what it asks, and the action that it may have to run."""

    def __init__(
        self,
        session: Session,
        step: Callable[[str, str], Steps[tuple[int, int]]],
        action: Callable[[], object] | None,
    ) -> None:
        self._session, self._step, self._action = session, step, action
        self._ran = False
        self.failure: BaseException | None = None  # what the action raised

    def ask(self, id: str) -> Steps[int | None]:
        """The index of who may pass, BROKEN, or None: not yet. Runs the action when all are here, and then opens."""
        code, index = yield from self._step("arrive", id)
        if code == scripts.GRANTED:
            yield Blocking(lambda: self._run_action(id))
            if self.failure:
                return (yield from self.leave(id))
            code, index = yield from self._step("open", id)
        return self._answer(code, index)

    def leave(self, id: str) -> Steps[int | None]:
        """The index if all have come meanwhile, else BROKEN: who leaves breaks the barrier."""
        code, index = yield from self._step("leave", id)
        return self._answer(code, index)

    def _answer(self, code: int, index: int) -> int | None:
        if code == scripts.QUEUED:
            return None
        return index if code == scripts.DONE else code

    def _run_action(self, id: str) -> None:
        if self._ran or self._action is None:  # ran, but the answer to its opening was lost
            return
        self._ran = True
        try:
            with _signs_of_life(lambda: self._session.run(self._step("arrive", id))):
                self._action()
        except BaseException as error:  # raised by wait, after the barrier was broken
            self.failure = error


@contextmanager
def _signs_of_life(sign: Callable[[], object]) -> Iterator[None]:
    """Has another thread say each second that this one lives, for as long as the block lasts."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(REASK):
            try:
                sign()
            except (redis.RedisError, OSError, InterlockError) as error:
                log.warning("no sign of life from a barrier's action, trying again: %s", described(error))

    threading.Thread(target=run, name="interlock-barrier-action", daemon=True).start()
    try:
        yield
    finally:
        over.set()
