"""`Event`: a flag that one caller sets and many wait for, on any machine."""

from dataclasses import dataclass
from typing import Any

import redis

from interlock._arguments import checked_ttl, checked_wait
from interlock._io.steps import Steps
from interlock._io.wire import Client
from interlock._primitive import Primitive, blocking, who, without_result
from interlock._protocol import scripts
from interlock._protocol.scripts import text


@dataclass(frozen=True)
class EventStatistics:
    """A look at an Event, as Redis saw it at one moment."""

    kind: str
    name: str
    is_set: bool
    waiters: tuple[str, ...]  # host:pid and task of each, in no order: `set` wakes all at once


class Event(Primitive):
    """A flag that processes wait for; `threading.Event` between machines.

    >>> import interlock
    >>> ready = interlock.Event(name="index built")
    >>> ready.is_set(), ready.wait(timeout=0.1)
    (False, False)
    >>> ready.set()
    >>> ready.wait()
    True
    >>> ready.clear()

    Differs from `threading.Event`: it has a name, and all events of one name are one; it outlives the processes that
    use it, so an event that is set stays set for callers that come later; `repr` asks Redis.

    The `wait` of a caller that waits when another calls `set` returns True, also if `clear` follows at once. If the
    waiter's process is stopped meanwhile, the waiter learns of the `set` when its process goes on, within ten minutes.
    Redis forgets a waiter whose process died after a few seconds, and it disturbs no other. An event that is not set
    needs no memory, and leaves Redis after a day without use.

    Args:
        name: None: a fresh unique one.
        client: a `redis.Redis` or `redis.cluster.RedisCluster`; None: from `REDIS_URL`. Copies keep it, pickles cannot.
        ttl: seconds without use for which the event stays set, 1 to a year; None: for ever, until `unlink`, if it has a
            name, else a day.

    Costs one round trip each to set, to clear, to ask, and to wait for an event that is set already. A waiter asks
    again each second, and once more when it is woken: from `set` until the waiter runs, it takes one and a half round
    trips.
    """

    kind = "Event"

    def __init__(self, *, name: str | None = None, client: Client | None = None, ttl: float | None = None) -> None:
        super().__init__(name, client)
        self.ttl = checked_ttl(ttl, named=name is not None)

    def parameters(self) -> dict[str, Any]:
        return {"name": self.name, "ttl": self.ttl}

    @blocking
    def is_set(self) -> Steps[bool]:
        """Whether it is set. One round trip.

        Raises:
            UnreachableError: no Redis answers.
            NameTakenError: the name belongs to another kind of thing.
        """
        return (yield from self._asked("", stay=False)) == scripts.GRANTED

    @without_result
    @blocking
    def set(self) -> Steps[None]:
        """Set it, and wake all waiters. One round trip; the server's work in it grows with the number of waiters.

        Raises:
            UnreachableError: no Redis answers. The event may be set all the same.
            NameTakenError: the name belongs to another kind of thing.
        """
        yield from self._session.lingering.commit_all()
        yield from self._change("event_set", self.kind, self._ttl_ms)

    @without_result
    @blocking
    def clear(self) -> Steps[None]:
        """Clear it: a caller that waits from now on waits for the next `set`. One round trip. Errors as in `set`."""
        yield from self._change("event_clear", self.kind)

    @blocking
    def wait(self, timeout: float | None = None) -> Steps[bool]:
        """Wait until it is set.

        Args:
            timeout: how long to wait, in seconds; None: for ever.

        Returns:
            Whether the event is set, or was set since the call began; False when the time is over.

        Raises:
            UnreachableError: no Redis answers at first. If Redis stops answering later, the call waits for it.
            NameTakenError: the name belongs to another kind of thing.
        """
        seconds = checked_wait(True, timeout, forever=None)
        if seconds == 0:
            return (yield from self._asked("", stay=False)) == scripts.GRANTED

        def ask(id: str) -> Steps[bool | None]:
            return (yield from self._asked(id, stay=True)) == scripts.GRANTED or None

        def leave(id: str) -> Steps[bool | None]:
            return (yield from self._asked(id, stay=False)) == scripts.GRANTED

        return bool((yield from self._session.polling.answered(self.name, ask, leave, seconds)))

    @blocking
    def unlink(self) -> Steps[None]:
        """Delete it: it is clear, as if it had never been used. Callers that wait go on waiting."""
        yield from self._session.checked()
        yield ("DEL", *self._keys)

    @blocking
    def statistics(self) -> Steps[EventStatistics]:
        """Return whether it is set, and who waits. One round trip."""
        _, is_set, ids = yield from self._run("event_look", self.kind)
        return EventStatistics(self.kind, self.name, bool(is_set), tuple(who(text(id)) for id in ids))

    def __repr__(self) -> str:
        try:
            state = "set" if self.is_set() else "unset"
        except (redis.RedisError, OSError):
            state = "unreachable"
        return f"<interlock.{self.kind} at {self.name!r}: {state}>"

    # --- the scripts ---

    @property
    def _keys(self) -> tuple[str, str]:
        state = self._session.resource(self.kind, self.name).state
        return state, f"{state}:waiters"

    @property
    def _ttl_ms(self) -> int | str:
        return "" if self.ttl is None else round(self.ttl * 1000)

    def _run(self, script: str, *argv: str | int) -> Steps[Any]:
        session = self._session
        yield from session.checked()
        reply = yield from scripts.run(script, self._keys, argv)
        session.resource(self.kind, self.name).raise_mismatch(reply)
        return reply

    def _asked(self, id: str, *, stay: bool) -> Steps[int]:
        """Ask whether it is set, and return GRANTED, QUEUED (only with `stay`) or BUSY.

        Args:
            id: the waiter's id; "": ask and queue no waiter.
            stay: True: Redis queues the id if the event is not set; False: Redis forgets the id.
        """
        reply = yield from self._run("event_wait", self.kind, self._ttl_ms, id, int(stay))
        return int(reply[0])

    def _change(self, script: str, *argv: str | int) -> Steps[None]:
        """Run the script that sets or clears. It takes effect once, however often the client sends it."""
        yield from self._session.checked()
        holdings = self._session.holdings
        call = holdings.new_id()
        yield from self._run(script, *argv, call)
        holdings.end_id(call)
