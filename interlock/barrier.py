"""`Barrier`: N parties wait for each other, on any machine."""

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
    waiters: tuple[str, ...]  # host:pid and task of each, in no order: the barrier releases all at once


class Barrier(Primitive):
    """A place where N parties wait for each other; `threading.Barrier` between machines.

    >>> import interlock, threading
    >>> start = interlock.Barrier(2, name="start")
    >>> other = threading.Thread(target=start.wait)
    >>> other.start()
    >>> start.wait(timeout=20) in (0, 1)
    True
    >>> other.join()
    >>> start.n_waiting, start.broken
    (0, False)

    Differs from `threading.Barrier`: it has a name, and all barriers of one name are one, and programs must make them
    for one number of parties. A party that is interrupted while it waits breaks the barrier. While the action runs, the
    time-outs of the waiting parties go on: a time-out, `abort` and `reset` break the barrier then too, also for the
    party that runs the action. `repr` asks Redis.

    The action stays in the process where it was given: pickle and JSON leave it behind, because only names travel. In
    each round one party runs it, the last to arrive *of those that have one*, before the barrier releases any party. If
    the action raises, the barrier is broken.

    A party that dies while it waits, or in its action, breaks the barrier. Redis counts a party as dead when it was
    silent for 3.5 s, and notices that at the next call of any process, which is at the latest the question of another
    party within a second. A party that is stopped for as long also breaks the barrier, and so does an action that lets
    no other thread of its process run. If Redis heard no party at all for so long, Redis itself may have been away, so
    all parties have 3.5 s more. A party that dies after it arrived, and before Redis misses it, counts as present. A
    party that has left a round with a result keeps that result, whatever happens to others.

    Args:
        parties: how many wait for each other, 1 or more.
        action: a function that one party of each round calls with no arguments; None: no action.
        timeout: how long a `wait` without a timeout of its own waits, in seconds; None: for ever.
        name: None: a fresh unique one.
        client: a `redis.Redis` or `redis.cluster.RedisCluster`; None: from `REDIS_URL`. Copies keep it, pickles cannot.
        ttl: seconds without use for which the barrier stays broken, 1 to a year; None: for ever, until `reset` or
            `unlink`, if it has a name, else a day. A barrier that is not broken leaves Redis after a day without use.

    Costs the last party one round trip, or two with an action. A party that has to wait asks again each second, and
    once more when it is woken.
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
        """Wait until all parties have arrived.

        Args:
            timeout: how long to wait, in seconds; None: the timeout that the barrier was made with.

        Returns:
            The caller's place in order of arrival: 0 to `parties` - 1.

        Raises:
            BrokenBarrierError: that of `threading`. The barrier is broken, or was reset, or the time is over, which
                breaks the barrier.
            UnreachableError: no Redis answers at first. If Redis stops answering later, the call waits for it.
            NameTakenError: the name belongs to another kind of thing, or to a barrier for another number of parties.
        """
        seconds = checked_wait(True, self._timeout if timeout is None else timeout, forever=None)
        yield from self._session.lingering.commit_all()
        party = _Party(self._session, self._step, self._action)
        try:
            answer = yield from self._session.polling.answered(self.name, party.ask, party.leave, seconds)
        finally:
            if party.failure is not None:
                raise party.failure
        if answer is None or answer < 0:
            raise threading.BrokenBarrierError(f"the barrier {self.name!r} is broken, or was reset")
        return answer

    @blocking
    def abort(self) -> Steps[None]:
        """Break it: each party that waits or comes gets `BrokenBarrierError`, until `reset`. One round trip.

        Raises:
            UnreachableError: no Redis answers. The barrier may be broken all the same.
            NameTakenError: as in `wait`.
        """
        yield from self._change("abort")

    @blocking
    def reset(self) -> Steps[None]:
        """Make it as new; parties that wait get `BrokenBarrierError`. One round trip. Errors as in `abort`."""
        yield from self._change("reset")

    @property
    def parties(self) -> int:
        """How many parties wait for each other."""
        return self._parties

    @property
    def n_waiting(self) -> int:
        """How many parties wait now. One round trip."""
        return int(self._look()[2])

    @property
    def broken(self) -> bool:
        """Whether it is broken. One round trip."""
        return bool(self._look()[1])

    @blocking
    def unlink(self) -> Steps[None]:
        """Delete it: at its next use it is as new. Parties that wait arrive anew, within a second."""
        yield from self._session.checked()
        yield ("DEL", *self._keys)

    @blocking
    def statistics(self) -> Steps[BarrierStatistics]:
        """Return whether it is broken, and who waits. One round trip."""
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
        """Have a party arrive, open the barrier or leave; return the code of the answer and the party's index."""
        reply = yield from self._run(verb, id)
        return int(reply[0]), int(reply[1]) if len(reply) > 1 else 0

    def _change(self, verb: str) -> Steps[None]:
        """Abort or reset. It takes effect once, however often the client sends it."""
        yield from self._session.checked()
        holdings = self._session.holdings
        call = holdings.new_id()
        yield from self._run(verb, call)
        holdings.end_id(call)


class _Party:
    """One call of `wait`: the questions that it asks, and the action that it may have to run."""

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
        """Arrive, or ask again, and return the party's index if it may pass, BROKEN, or None: not yet.

        If all parties have arrived and this one is to run the action, it runs the action and then opens the barrier.
        """
        code, index = yield from self._step("arrive", id)
        if code == scripts.GRANTED:
            yield Blocking(lambda: self._run_action(id))
            if self.failure:
                return (yield from self.leave(id))
            code, index = yield from self._step("open", id)
        return self._answer(code, index)

    def leave(self, id: str) -> Steps[int | None]:
        """Leave, and return the party's index if all have come meanwhile, else BROKEN: leaving breaks the barrier."""
        code, index = yield from self._step("leave", id)
        return self._answer(code, index)

    def _answer(self, code: int, index: int) -> int | None:
        if code == scripts.QUEUED:
            return None
        return index if code == scripts.DONE else code

    def _run_action(self, id: str) -> None:
        if self._ran or self._action is None:  # it ran before if the answer to the opening was lost
            return
        self._ran = True
        try:
            with _signs_of_life(lambda: self._session.run(self._step("arrive", id))):
                self._action()
        except BaseException as error:  # `wait` raises it, after this party has broken the barrier
            self.failure = error


@contextmanager
def _signs_of_life(sign: Callable[[], object]) -> Iterator[None]:
    """Have another thread say each second that this party lives, for as long as the block lasts."""
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
