"""`Value` and `RawValue`: a C-typed value in Redis, with and without a lock of its own."""

from time import monotonic
from typing import Any

from interlock._holding.holdings import Hold
from interlock._holding.lingering_lock import lingering_with
from interlock._holding.local_values import MISSING, LocalValue
from interlock._io.steps import Steps
from interlock._io.wire import Client
from interlock._primitive import blocking, steps_of, without_result
from interlock._protocol import scripts
from interlock._protocol.c_types import CTYPES, converted, decode, encode, encode_step, zero
from interlock._shared import Guarded, Shared
from interlock.errors import NameTakenError, RefusedError
from interlock.lock import Lock, RLock


class RawValue(Shared):
    """A C-typed value in Redis that no lock guards; `multiprocessing.RawValue` between machines.

    >>> import interlock
    >>> raw = interlock.RawValue("b", 127)
    >>> raw.value += 1
    >>> raw.value
    -128

    Reading and writing `.value` cost a round trip each: `raw.value += 1` is two, and loses updates when two processes
    do it at once. Differs from `multiprocessing.RawValue`: it has a name, and all raw values of one name are one.

    Args:
        typecode_or_type: 'i', 'q', 'd', ... as in `multiprocessing`, or a ctypes type.
        value: the first value; None: zero. If the name exists already, it keeps its value.
        name: None: a fresh unique one.
        client: a `redis.Redis` or `redis.cluster.RedisCluster`; None: from `REDIS_URL`. Copies keep it, pickles cannot.
        ttl: seconds that it outlives its last use; None: for ever if it has a name, else a day.

    Raises:
        NameTakenError: the name exists with another type.
    """

    kind = "RawValue"

    def __init__(
        self,
        typecode_or_type: Any,
        value: Any = None,
        *,
        name: str | None = None,
        client: Client | None = None,
        ttl: float | None = None,
    ) -> None:
        self._prepare(typecode_or_type, name=name, client=client, ttl=ttl)
        self._session.run(self._create(value))

    def _create(self, value: Any) -> Steps[None]:
        first = self._encoded(zero(self.typecode) if value is None else value)
        yield from self._session.checked()
        yield ("SET", self._key, first, "NX", *self._expiry)
        try:
            reply = yield ("GET", self._key)  # no GETEX: a refused creation must change nothing, not even the expiry
        except RefusedError as error:
            if "WRONGTYPE" not in str(error):
                raise
            raise NameTakenError(
                f"{self.name!r} is an array already, not a value: choose another name, or unlink() the array"
            ) from None
        if reply is None:
            raise self._gone()
        text = scripts.text(reply)
        if CTYPES[text[0]] is not CTYPES[self.typecode]:
            raise NameTakenError(
                f"the value {self.name!r} has the type code {text[0]!r}, not {self.typecode!r}: {scripts.CHANGED}"
            )

    def _encoded(self, value: Any) -> str:
        """Return type code and value as Redis stores them: 'i:42'."""
        return f"{self.typecode}:{encode(self.typecode, value)}"

    @property
    def _expiry(self) -> tuple[str | int, ...]:
        return () if self._ttl_ms is None else ("PX", self._ttl_ms)

    @blocking
    def _load(self) -> Steps[Any]:
        return self._read(-1)

    def _read(self, token: int) -> Steps[Any]:
        """Return the committed value; for the holder of its lock, which has that token, the value that it is to see."""
        yield from self._session.checked()
        reply = yield ("GETEX", self._key, *self._expiry)
        if reply is None:
            raise self._gone()
        return _decoded(scripts.text(reply), token)

    @blocking
    def _store(self, value: Any) -> Steps[None]:
        yield from self._overwrite(value)

    @property
    def value(self) -> Any:
        """The value in Redis. Raises GoneError if it exists no longer."""
        return self._load()

    @value.setter
    def value(self, value: Any) -> None:
        self._store(value)

    @blocking
    def exchange(self, value: Any) -> Steps[Any]:
        """Write a value and return the one that it replaces, in one step (C11's `atomic_exchange`). One round trip.

        Raises:
            GoneError: it exists no longer; the call wrote nothing.
        """
        replaced = yield from self._overwrite(value, "GET")
        return _decoded(scripts.text(replaced))

    def _overwrite(self, value: Any, *options: str) -> Steps[Any]:
        yield from self._session.checked()
        text, expiry = self._encoded(value), self._expiry or ("KEEPTTL",)
        reply = yield ("SET", self._key, text, "XX", *options, *expiry)
        if reply is None:
            raise self._gone()
        return reply


def _decoded(text: str, token: int = -1) -> Any:
    """Return the value that stands behind its type code."""
    typecode, _, plain = text.partition(":")
    return decode(typecode, plain, token)


class Value(Guarded, RawValue):
    """A C-typed value in Redis with a lock; `multiprocessing.Value` between machines.

    >>> import interlock
    >>> counter = interlock.Value("i", 0)
    >>> with counter.get_lock():
    ...     counter.value += 1
    >>> counter.value
    1

    Redis stores what a section wrote when the lock is released, in the same round trip, under the lock's token: a
    holder whose lease is over writes nothing. The values that a section used come with the next grant. Differs from
    `multiprocessing.Value`: it has a name, and all values of one name and one lock are one; reading `.value` without
    the lock takes no lock, and shows the value that was committed last, or what this process wrote since; with a plain
    `Lock`, `.value` works under the lock (in `multiprocessing` it deadlocks). Writing `.value` without the lock takes
    the lock for that write. `get_obj` raises `TypeError`: there is no shared memory.

    Args:
        lock: True or None: an RLock of its own; an interlock.Lock or RLock: that one, which may guard several values,
            and Redis then stores them together; False: no lock, and the result is a RawValue.
        lease, linger: for the lock of its own, as in `Lock`.
        typecode_or_type, value, name, client, ttl: as in `RawValue`.

    Raises:
        NameTakenError: the name exists with another type.
    """

    kind = "Value"

    def __new__(cls, *arguments: Any, lock: Any = True, **options: Any) -> Any:
        if lock is False:
            for of_the_lock in ("lease", "linger"):
                options.pop(of_the_lock, None)
            return RawValue(*arguments, **options)
        return super().__new__(cls)

    def __init__(
        self,
        typecode_or_type: Any,
        value: Any = None,
        *,
        lock: bool | Lock | RLock | None = True,
        name: str | None = None,
        client: Client | None = None,
        lease: float = 30.0,
        linger: float | None = None,
        ttl: float | None = None,
    ) -> None:
        self._prepare(typecode_or_type, lock=lock, name=name, client=client, lease=lease, linger=linger, ttl=ttl)
        self._session.run(self._create(value))

    @blocking
    def _load(self) -> Steps[Any]:
        hold = yield from self._held()
        if hold is None:
            kept = self._kept()
            return kept[self.name] if self.name in kept else (yield from steps_of(super()._load)())
        local_value = hold.local_values.local_value(self.name)
        if local_value.now is MISSING:
            local_value.now = yield from self._read(hold.token)
        self._keep(hold, local_value)
        return local_value.now

    @blocking
    def _store(self, value: Any) -> Steps[None]:
        held = converted(self.typecode, value)
        hold = yield from self._held()
        if hold is None:
            yield from self._locked(steps_of(self._store)(value))
        else:
            self._keep(hold, hold.write(self.name, held))

    def _keep(self, hold: Hold, local_value: LocalValue) -> None:
        """Tell the fast paths which copy of this value the caller's hold has."""
        self._local_value = local_value
        lingering_lock = lingering_with(hold)
        if lingering_lock is not None:
            hold.local_values.reach(self.name, local_value, lingering_lock.turns.bias_holder)

    @property
    def value(self) -> Any:
        """Under the lock: the value that the section sees. Else: the value that was committed last."""
        local_value = self._local_value
        if local_value.bias.inside._is_owned():
            return local_value.now
        return self._load()

    @value.setter
    def value(self, value: Any) -> None:
        local_value = self._local_value
        bias = local_value.bias
        if (
            bias.inside._is_owned()
            and type(value) is self._python
            and self._lowest <= value <= self._highest
            and monotonic() < bias.deadline
        ):
            section = bias.entered
            if local_value.section is section:
                local_value.now = value
                return
            if bias.noted:
                local_value.before = local_value.now  # `LocalValue` says why these three lines have this order
                local_value.section = section
                local_value.now = value
                return
        self._store(value)

    @without_result
    @blocking
    def add(self, n: float) -> Steps[None]:
        """Add to it, in what is one step for all others, without waiting for its lock; it overflows as in ctypes.

        Costs at most one round trip, and none under the lock or while this process lingers with the lock: the process
        then commits the sum as it commits what sections write. While another process holds the lock or lingers, Redis
        keeps the added number beside the value: others see it at once, the holder sees it with its next grant, and
        Redis adds it to what the holder writes.

        Args:
            n: the number to add, an int; for a value of a float type, an int or a float.

        Raises:
            TypeError: n is no number that the type holds, or the value is of a type of characters or bools.
            GoneError: the value exists no longer.
            LeaseLostError: the caller is in a section whose lease is over.
        """
        step = encode_step(self.typecode, n)
        if (yield from self._held()) is not None:
            yield from self._add_inside(n)
        elif self._lingered() and (yield from steps_of(self._lock.acquire)(False)):
            yield from self._then_release(self._add_inside(n))
        else:
            yield from self._add_outside(step)

    def _add_inside(self, n: float) -> Steps[None]:
        yield from steps_of(self._store)((yield from steps_of(self._load)()) + n)

    def _add_outside(self, step: str) -> Steps[None]:
        session = self._session
        yield from session.checked()
        call = session.holdings.new_id()
        code = yield from scripts.add(self._lock._resource, call=call, value=self._key, step=step, ttl_ms=self._ttl_ms)
        session.holdings.end_id(call)
        if code == scripts.GONE:
            raise self._gone()

    @blocking
    def exchange(self, value: Any) -> Steps[Any]:
        """Do as `RawValue.exchange`, under the lock; a caller without the lock takes it for that call."""
        if (yield from self._held()) is None:
            return (yield from self._locked(steps_of(self.exchange)(value)))
        replaced = yield from steps_of(self._load)()
        yield from steps_of(self._store)(value)
        return replaced
