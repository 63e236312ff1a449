"""`Value` and `RawValue`: a C-typed value in Redis, with and without a lock of its own."""

import ctypes
import json
from types import TracebackType
from typing import Any, Self

import redis

from interlock import _scripts
from interlock._arguments import checked_lease, checked_ttl
from interlock._primitive import Primitive
from interlock._session import Hold, lost_text
from interlock.errors import GoneError, LeaseLostError, NameTakenError
from interlock.lock import Lock, RLock

# The type codes of multiprocessing, and that of struct for what it has no code for.
CTYPES: dict[str, Any] = {
    "c": ctypes.c_char, "u": ctypes.c_wchar, "b": ctypes.c_byte, "B": ctypes.c_ubyte, "h": ctypes.c_short,
    "H": ctypes.c_ushort, "i": ctypes.c_int, "I": ctypes.c_uint, "l": ctypes.c_long, "L": ctypes.c_ulong,
    "q": ctypes.c_longlong, "Q": ctypes.c_ulonglong, "f": ctypes.c_float, "d": ctypes.c_double, "?": ctypes.c_bool,
}  # fmt: skip


def typecode_of(typecode_or_type: Any) -> str:
    """The type code of a type code or of a ctypes type."""
    if isinstance(typecode_or_type, str) and typecode_or_type in CTYPES:
        return typecode_or_type
    for code, ctype in CTYPES.items():
        if typecode_or_type is ctype:
            return code
    raise TypeError(f"typecode must be one of {' '.join(CTYPES)} or its ctypes type, not {typecode_or_type!r}")


def encode(typecode: str, value: Any) -> str:
    """Type code and value as C has it (overflow wraps, as in ctypes), as text: 'i:42'.

    Raises TypeError for what the type cannot hold, and UnicodeEncodeError for what is no text.
    """
    held = CTYPES[typecode](value).value
    if typecode == "u":
        held.encode()  # half of a surrogate pair is no text
    plain = held.decode("latin-1") if typecode == "c" else held
    return f"{typecode}:{plain if typecode in 'cu' else json.dumps(plain)}"


def decode(text: str) -> Any:
    """The value of its text."""
    typecode, _, plain = text.partition(":")
    return plain.encode("latin-1") if typecode == "c" else plain if typecode == "u" else json.loads(plain)


class RawValue(Primitive):
    """A C-typed value in Redis that no lock guards; `multiprocessing.RawValue` between machines.

    >>> import interlock
    >>> raw = interlock.RawValue("b", 127)
    >>> raw.value += 1
    >>> raw.value
    -128

    Reading and writing `.value` are a round trip each: `raw.value += 1` is two, and loses updates when two processes do
    it at once. Differs from `multiprocessing.RawValue`: it has a name; all of one name are one.

    Args:
        typecode_or_type: 'i', 'q', 'd', ... as in `multiprocessing`, or a ctypes type.
        value: what it holds at first; if the name exists already, it keeps what it has.
        name: None: a fresh unique one.
        client: a `redis.Redis`; None: from `REDIS_URL`.
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
        client: redis.Redis | None = None,
        ttl: float | None = None,
    ) -> None:
        self._name(typecode_or_type, name, client, checked_ttl(ttl, named=name is not None))
        self._create(value)

    def _name(self, typecode_or_type: Any, name: str | None, client: redis.Redis | None, ttl: float | None) -> None:
        super().__init__(name, client)
        self.typecode = typecode_of(typecode_or_type)
        self.ttl = ttl

    def _create(self, value: Any) -> None:
        first = encode(self.typecode, CTYPES[self.typecode]().value if value is None else value)
        wire = self._session.checked().wire
        wire.call("SET", self._key, first, "NX", *self._expiry)
        text = self._read()
        if CTYPES[text[0]] is not CTYPES[self.typecode]:
            raise NameTakenError(f"the value {self.name!r} has the type code {text[0]!r}, not {self.typecode!r}")

    @property
    def _ttl_ms(self) -> int | None:
        return None if self.ttl is None else round(self.ttl * 1000)

    @property
    def _expiry(self) -> tuple[str | int, ...]:
        return () if self._ttl_ms is None else ("PX", self._ttl_ms)

    @property
    def _key(self) -> str:
        session = self._session
        return f"{session.identity(self.kind, self.name).state}:raw"

    def parameters(self) -> dict[str, Any]:
        return {"typecode": self.typecode, "name": self.name, "ttl": self.ttl}

    @classmethod
    def attached(cls, **parameters: Any) -> Self:
        self = cls.__new__(cls)
        self._name(parameters["typecode"], parameters["name"], None, parameters["ttl"])
        return self

    def _read(self) -> str:
        reply = self._session.checked().wire.call("GETEX", self._key, *self._expiry)
        if reply is None:
            raise self._gone()
        return _scripts.text(reply)

    @property
    def value(self) -> Any:
        """What it holds. Raises GoneError if it exists no longer."""
        return decode(self._read())

    @value.setter
    def value(self, value: Any) -> None:
        self._overwrite(value)

    def exchange(self, value: Any) -> Any:
        """Write a value and return the one that it replaces, in one step (C11's `atomic_exchange`). One round trip.

        Raises:
            GoneError: it exists no longer; nothing was written.
        """
        return decode(_scripts.text(self._overwrite(value, "GET")))

    def _overwrite(self, value: Any, *options: str) -> Any:
        wire = self._session.checked().wire
        text, expiry = encode(self.typecode, value), self._expiry or ("KEEPTTL",)
        reply = wire.call("SET", self._key, text, "XX", *options, *expiry)
        if reply is None:
            raise self._gone()
        return reply

    def unlink(self) -> None:
        """Delete it. Whoever uses it afterwards gets GoneError."""
        self._session.checked().client.delete(self._key)

    def _gone(self) -> GoneError:
        return GoneError(f"the value {self.name!r} exists no longer: it was unlinked, or its ttl ran out")

    def __repr__(self) -> str:
        return f"<interlock.{self.kind} {self.name!r} {self.typecode!r}>"


class Value(RawValue):
    """A C-typed value in Redis with a lock; `multiprocessing.Value` between machines.

    >>> import interlock
    >>> counter = interlock.Value("i", 0)
    >>> with counter.get_lock():
    ...     counter.value += 1
    >>> counter.value
    1

    What is written under the lock is stored when the lock is released, in the same round trip, under the lock's token:
    a holder whose lease is over writes nothing. Differs from `multiprocessing.Value`: it has a name; reading `.value`
    without the lock takes no lock and shows what was committed last; with a plain `Lock`, `.value` under the lock works
    (there it deadlocks). Writing `.value` without the lock takes it for that write.

    Args:
        lock: True or None: an RLock of its own; an interlock.Lock or RLock: that one, which may guard several values,
            and then they are stored together; False: none, the result is a RawValue.
        lease: for the lock of its own, as in `Lock`.
        typecode_or_type, value, name, client, ttl: as in `RawValue`.

    Raises:
        NameTakenError: the name exists with another type.
    """

    kind = "Value"

    def __new__(cls, *arguments: Any, lock: Any = True, **options: Any) -> Any:
        if lock is False:
            options.pop("lease", None)
            return RawValue(*arguments, **options)
        return super().__new__(cls)

    def __init__(
        self,
        typecode_or_type: Any,
        value: Any = None,
        *,
        lock: bool | Lock | RLock | None = True,
        name: str | None = None,
        client: redis.Redis | None = None,
        lease: float = 30.0,
        ttl: float | None = None,
    ) -> None:
        self._name(typecode_or_type, name, client, checked_ttl(ttl, named=name is not None))
        if lock is True or lock is None:
            self._lock: Lock | RLock = RLock(name=self.name, client=client, lease=lease)
        elif isinstance(lock, Lock | RLock):
            checked_lease(lease)
            self._lock, self._client = lock, lock._client
        else:
            raise TypeError(f"lock must be True, False, an interlock.Lock or an interlock.RLock, not {lock!r}")
        self._create(value)

    @property
    def _key(self) -> str:
        session = self._session
        return f"{session.identity(self._lock.kind, self._lock.name).state}:value:{self.name}"

    def parameters(self) -> dict[str, Any]:
        return {**super().parameters(), "lock": {"kind": self._lock.kind, **self._lock.parameters()}}

    @classmethod
    def attached(cls, **parameters: Any) -> Self:
        self = super().attached(**parameters)
        lock = dict(parameters["lock"])
        self._lock = Lock(**lock) if lock.pop("kind") == Lock.kind else RLock(**lock)
        return self

    def get_lock(self) -> Lock | RLock:
        """The lock that guards it."""
        return self._lock

    @property
    def value(self) -> Any:
        """Under the lock: what the section sees. Else: what was committed last."""
        hold = self._hold()
        if hold is not None and self._key in hold.writes:
            return decode(hold.writes[self._key][0])
        return RawValue.value.__get__(self)

    @value.setter
    def value(self, value: Any) -> None:
        text = encode(self.typecode, value)
        hold = self._hold()
        if hold is not None:
            hold.writes[self._key] = text, self._ttl_ms
            return
        with self._lock:
            self.value = value

    def exchange(self, value: Any) -> Any:
        """As `RawValue.exchange`, under the lock; without it, takes the lock for that."""
        if self._hold() is None:
            with self._lock:
                return self.exchange(value)
        replaced, self.value = self.value, value
        return replaced

    def _hold(self) -> Hold | None:
        """The caller's hold of the lock. Raises LeaseLostError if it is over."""
        hold = self._lock._mine()
        if hold is not None and self._session.surely_lost(hold):
            raise LeaseLostError(lost_text(hold))
        return hold

    def __enter__(self) -> bool:
        return self._lock.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.__exit__(kind, error, trace)

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """As the lock's."""
        return self._lock.acquire(blocking, timeout)

    def release(self) -> None:
        """As the lock's."""
        self._lock.release()
