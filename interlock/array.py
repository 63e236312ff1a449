"""`Array` and `RawArray`: C-typed values by index in Redis, with and without a lock of their own."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any, Self

from interlock._holding.local_values import MISSING
from interlock._io.steps import Steps
from interlock._io.wire import Client
from interlock._primitive import blocking, steps_of
from interlock._protocol import scripts
from interlock._protocol.c_types import CTYPES, converted, decode, encode, zero
from interlock._shared import Guarded, Shared
from interlock.errors import NameTakenError
from interlock.lock import Lock, RLock

log = logging.getLogger("interlock")

WHOLE_MAX = 1000  # elements: a holder does not copy a larger array, so each read of it asks Redis
LENGTH_MAX = 250_000  # elements: to make, read or store so many at once, Redis serves no other for about half a second


class RawArray(Shared):
    """A C-typed array in Redis that no lock guards; `multiprocessing.RawArray` between machines.

    >>> import interlock
    >>> squares = interlock.RawArray("i", [0, 1, 4, 9])
    >>> squares[1] += 1
    >>> squares[1], squares[2:], len(squares)
    (2, [4, 9], 4)

    Reading or writing an element or a slice costs a round trip: `array[i] += 1` costs two, and loses updates when two
    processes do it at once; processes that write different elements lose nothing. Redis reads or writes a slice at one
    moment, and serves no other caller meanwhile, for 1 to 3 ms for each thousand elements. Differs from
    `multiprocessing.RawArray`: it has a name and at most 250,000 elements; all raw arrays of one name are one; a loop
    over it reads it once, as it is at that moment.

    Args:
        typecode_or_type: 'i', 'd', 'c', ... as in `multiprocessing`, or a ctypes type.
        size_or_initializer: how many zeros, 0 to 250,000, or a sequence of the first elements. If the name exists
            already, it keeps its elements.
        name: None: a fresh unique one.
        client: a `redis.Redis` or `redis.cluster.RedisCluster`; None: from `REDIS_URL`. Copies keep it, pickles cannot.
        ttl: seconds that it outlives its last use; None: for ever if it has a name, else a day.

    Raises:
        NameTakenError: the name exists with another type or length.
    """

    kind = "RawArray"
    noun = "array"

    def __init__(
        self,
        typecode_or_type: Any,
        size_or_initializer: int | Sequence[Any],
        *,
        name: str | None = None,
        client: Client | None = None,
        ttl: float | None = None,
    ) -> None:
        self._prepare(typecode_or_type, name=name, client=client, ttl=ttl)
        self._session.run(self._create(self._sized(size_or_initializer)))

    def _sized(self, size_or_initializer: int | Sequence[Any]) -> dict[str, str]:
        """Set the length from the argument, and return the first elements, encoded, by their index."""
        if isinstance(size_or_initializer, int):
            self._length, first = int.__int__(size_or_initializer), {}
        else:
            self._length = len(size_or_initializer)
            first = {str(i): encode(self.typecode, value) for i, value in enumerate(size_or_initializer)}
        if not 0 <= self._length <= LENGTH_MAX:
            raise ValueError(f"an array has 0 to {LENGTH_MAX:,} elements, not {self._length:,}")
        return first

    def _create(self, first: dict[str, str]) -> Steps[None]:
        wanted = f"{self.typecode}:{self._length}"
        argv = (wanted, self._ttl, *(item for pair in first.items() for item in pair))
        yield from self._session.checked()
        found = scripts.text((yield from scripts.run("array_create", [self._key], argv)))
        if found == "value":
            raise NameTakenError(
                f"{self.name!r} is a value already, not an array: choose another name, or unlink() the value"
            )
        if found != wanted:
            code, _, length = found.partition(":")
            raise NameTakenError(
                f"the array {self.name!r} has {length} elements of type code {code!r}, not {self._length} of "
                f"{self.typecode!r}: {scripts.CHANGED}"
            )

    @property
    def _ttl(self) -> str | int:
        return "" if self._ttl_ms is None else self._ttl_ms

    def parameters(self) -> dict[str, Any]:
        return {**super().parameters(), "length": self._length}

    @classmethod
    def attached(cls, **parameters: Any) -> Self:
        self = super().attached(**parameters)
        self._length = parameters["length"]
        return self

    def _joined(self, values: list[Any]) -> Any:
        """Return a slice as ctypes does: bytes for characters, text for wide characters, else a list."""
        return b"".join(values) if self.typecode == "c" else "".join(values) if self.typecode == "u" else values

    @blocking
    def _read(self, first: int, count: int) -> Steps[list[Any]]:
        yield from self._session.checked()
        found = yield from scripts.run("array_read", [self._key], (self._ttl, first, count))
        if found is None:
            raise self._gone()
        texts = [scripts.text(each) for each in found]
        return [decode(self.typecode, text) if text else zero(self.typecode) for text in texts]

    @blocking
    def _write(self, elements: dict[int, Any]) -> Steps[None]:
        texts = {index: encode(self.typecode, value) for index, value in elements.items()}
        yield from self._session.checked()
        argv = (self._ttl, *(item for pair in texts.items() for item in pair))
        if not (yield from scripts.run("array_write", [self._key], argv)):
            raise self._gone()

    def _index(self, index: int) -> int:
        if not isinstance(index, int):
            raise TypeError(f"indices must be integers or slices, not {type(index).__name__}")
        if not -self._length <= index < self._length:
            raise IndexError("invalid index")
        return index % self._length

    def __len__(self) -> int:
        return self._length

    @blocking
    def _get(self, index: int | slice) -> Steps[Any]:
        if not isinstance(index, slice):
            return (yield from steps_of(self._read)(self._index(index), 1))[0]
        wanted = range(self._length)[index]
        if not wanted:
            return self._joined([])
        low = min(wanted)
        values = yield from steps_of(self._read)(low, max(wanted) - low + 1)
        return self._joined([values[i - low] for i in wanted])

    @blocking
    def _set(self, index: int | slice, value: Any) -> Steps[None]:
        if not isinstance(index, slice):
            yield from steps_of(self._write)({self._index(index): value})
            return
        wanted = range(self._length)[index]
        values = [value[i : i + 1] for i in range(len(value))] if isinstance(value, bytes) else list(value)
        if len(values) != len(wanted):
            raise ValueError("Can only assign sequence of same size")
        yield from steps_of(self._write)(dict(zip(wanted, values, strict=True)))

    def __getitem__(self, index: int | slice) -> Any:
        return self._get(index)

    def __setitem__(self, index: int | slice, value: Any) -> None:
        self._set(index, value)

    def __iter__(self) -> Iterator[Any]:
        return iter(self[:])

    def __repr__(self) -> str:
        return f"<interlock.{self.kind} {self.name!r} {self.typecode!r} of {self._length}>"


class Array(Guarded, RawArray):
    """A C-typed array in Redis with a lock; `multiprocessing.Array` between machines.

    >>> import interlock
    >>> seats = interlock.Array("i", 3)
    >>> with seats.get_lock():
    ...     seats[0] += 1
    ...     seats[1:] = [seats[0], 5]
    >>> seats[:]
    [1, 1, 5]

    Redis stores what a section wrote when the lock is released, in the same round trip, under the lock's token, with
    all other values that share the lock, or not at all. Differs from `multiprocessing.Array` as `Value` does from its
    twin: it has a name and at most 250,000 elements; reading without the lock takes no lock and shows the elements that
    were committed last. Writing without the lock takes the lock for that write. An array of 'c' has `.value` (up to the
    first zero byte) and `.raw`. `get_obj` raises `TypeError`, as does `numpy.frombuffer`: there is no shared memory.

    Under the lock, the holder reads an array of up to 1,000 elements once and whole, and the array comes with later
    grants to a process that lingers. A holder asks Redis for each read of a larger array, which the log says once. What
    a section writes to an array of any size, its process keeps until the release.

    Args:
        lock: True or None: an RLock of its own; an interlock.Lock or RLock: that one; False: no lock, and the result is
            a RawArray.
        lease, linger: for the lock of its own, as in `Lock`.
        typecode_or_type, size_or_initializer, name, client, ttl: as in `RawArray`.

    Raises:
        NameTakenError: the name exists with another type or length.
    """

    kind = "Array"
    _told = False  # whether the log has said that the array is too large to come with its lock

    def __new__(cls, *arguments: Any, lock: Any = True, **options: Any) -> Any:
        if lock is False:
            for of_the_lock in ("lease", "linger"):
                options.pop(of_the_lock, None)
            return RawArray(*arguments, **options)
        return super().__new__(cls)

    def __init__(
        self,
        typecode_or_type: Any,
        size_or_initializer: int | Sequence[Any],
        *,
        lock: bool | Lock | RLock | None = True,
        name: str | None = None,
        client: Client | None = None,
        lease: float = 30.0,
        linger: float | None = None,
        ttl: float | None = None,
    ) -> None:
        self._prepare(typecode_or_type, lock=lock, name=name, client=client, lease=lease, linger=linger, ttl=ttl)
        self._session.run(self._create(self._sized(size_or_initializer)))

    @blocking
    def _read(self, first: int, count: int) -> Steps[list[Any]]:
        hold = yield from self._held()
        if hold is None:
            kept, found = self._kept(), (yield from steps_of(super()._read)(first, count))
            return [kept.get((self.name, first + i), value) for i, value in enumerate(found)]
        values = [hold.local_values.read((self.name, index)) for index in range(first, first + count)]
        if any(value is MISSING for value in values):
            whole = self._length <= WHOLE_MAX
            if not whole and not self._told:
                self._told = True
                log.info(
                    "the array %r has %s elements: more than %s do not come with its lock, each read asks Redis",
                    self.name, f"{self._length:,}", f"{WHOLE_MAX:,}",
                )  # fmt: skip
            if whole:  # the holder reads such an array once, and it comes with later grants
                stored = yield from steps_of(super()._read)(0, self._length)
                hold.local_values.know_whole(
                    self.name, {(self.name, index): value for index, value in enumerate(stored)}
                )
                stored = stored[first : first + count]
            else:
                stored = yield from steps_of(super()._read)(first, count)
            values = [theirs if ours is MISSING else ours for ours, theirs in zip(values, stored, strict=True)]
        return values

    @blocking
    def _write(self, elements: dict[int, Any]) -> Steps[None]:
        hold = yield from self._held()
        if hold is None:
            yield from self._locked(steps_of(self._write)(elements))
            return
        held = {index: converted(self.typecode, value) for index, value in elements.items()}
        for index, value in held.items():
            hold.write((self.name, index), value)

    @property
    def raw(self) -> bytes:
        """All bytes of an array of 'c'. An array of any other type raises AttributeError."""
        self._characters("raw")
        return bytes(self[:])

    @raw.setter
    def raw(self, value: bytes) -> None:
        self._characters("raw")
        self[: len(value)] = value

    @property
    def value(self) -> bytes:
        """The bytes of an array of 'c' before the first zero byte. An array of any other type raises AttributeError."""
        self._characters("value")
        return bytes(self[:]).partition(b"\0")[0]

    @value.setter
    def value(self, value: bytes) -> None:
        self._characters("value")
        ended = value if len(value) == len(self) else value + b"\0"
        self[: len(ended)] = ended

    def _characters(self, what: str) -> None:
        if CTYPES[self.typecode] is not CTYPES["c"]:
            raise AttributeError(f"an array of {self.typecode!r} has no {what}: only one of 'c' has")
