"""What a holder has of the values that its lock guards: copies, read and written locally, sent back under its token."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from interlock import _ctypes

Key: TypeAlias = str | tuple[str, int]
"""A value by its name, or an element of an array by the array's name and its index."""

Writes: TypeAlias = Mapping[str, tuple[str | dict[str, str], int | None]]
"""What scripts are to store: key in Redis -> what a value is to hold, or elements of an array by index; a ttl in ms."""

MISSING: Any = object()


class Copies:
    """The copies of one hold.

    `copy` and `update` of a plain dict are one step each to all threads: there is no mutex.

    Args:
        token: with which the lock was granted.
    """

    def __init__(self, token: int) -> None:
        self.token = token  # of the grant
        self.seen: dict[Key, Any] = {}  # what the section reads: as Redis had it, and all that was written since
        self.written: dict[Key, Any] = {}  # what the section wrote
        self.finished: dict[Key, Any] = {}  # what finished sections wrote, sent or not
        self._sent: dict[Key, Any] = {}  # of that, what Redis has stored
        self._arrays: set[str] = set()  # names of those that were read whole
        self._types: dict[str, tuple[str, int | None]] = {}  # type code and ttl (ms) by name

    def know(self, name: str, typecode: str, ttl_ms: int | None) -> None:
        """How a value, or the elements of an array, are stored."""
        self._types[name] = typecode, ttl_ms

    def know_whole(self, name: str, elements: Mapping[Key, Any]) -> None:
        """All elements of an array, as Redis has them; those that the sections wrote are newer."""
        self.seen.update({key: element for key, element in elements.items() if key not in self.seen})
        self._arrays.add(name)

    def write(self, key: Key, value: Any) -> None:
        """The section writes a value, as its C type holds it."""
        self.written[key] = value  # first: what is seen and not written would never be sent
        self.seen[key] = value

    def forget(self, name: str) -> None:
        """A value is no more: only what the section wrote to it is read here, and told when it is to be stored."""
        self._arrays.discard(name)
        for copies in (self.finished, self.seen):
            for key in copies.copy():
                of_it = key == name or (isinstance(key, tuple) and key[0] == name)
                if of_it and key not in self.written:
                    copies.pop(key, None)

    def finish_section(self) -> None:
        """What the section wrote may be sent."""
        self.finished.update(self.written)
        self.written.clear()

    def unsent(self) -> dict[Key, Any]:
        """What finished sections wrote and Redis has not stored; all of a section or nothing."""
        sent = self._sent
        return {key: value for key, value in self.finished.copy().items() if sent.get(key, MISSING) is not value}

    def stored(self, sent: Mapping[Key, Any]) -> None:
        """Redis has stored this."""
        self._sent.update(sent)

    def receive(self, wants: str, texts: Sequence[str | None]) -> None:
        """These values came with the grant; None: gone, which is noticed when it is read."""
        for (name, ttl_ms), text in zip(json.loads(wants) if texts else (), texts, strict=True):
            if text is not None and text.startswith("*:"):
                typecode, elements = _ctypes.decode_array(json.loads(text[2:]))
                self.know(name, typecode, ttl_ms or None)
                self.know_whole(name, {(name, index): element for index, element in enumerate(elements)})
            elif text is not None:
                self.know(name, text[0], ttl_ms or None)
                self.seen[name] = _ctypes.decode(text[0], text[2:], self.token)

    def encoded(self, state: str, unsent: Mapping[Key, Any]) -> Writes:
        """Something unsent as the scripts want it."""
        writes: dict[str, tuple[str | dict[str, str], int | None]] = {}
        for key, value in unsent.items():
            if isinstance(key, str):
                typecode, ttl_ms = self._types[key]
                writes[redis_key(state, key)] = f"{typecode}:{_ctypes.encode(typecode, value)}", ttl_ms
            else:
                name, index = key
                typecode, ttl_ms = self._types[name]
                elements, _ = writes.setdefault(redis_key(state, name), ({}, ttl_ms))
                assert isinstance(elements, dict)
                elements[str(index)] = _ctypes.encode(typecode, value)
        return writes

    @property
    def shortest_ttl(self) -> float:
        """Seconds after which the first of the values that were used vanishes if nobody touches it in Redis."""
        return min((ttl_ms / 1000 for _, ttl_ms in self._types.copy().values() if ttl_ms), default=float("inf"))

    def wanted(self, most: int) -> str:
        """The values that were used, as JSON [[name, ttl in ms or 0], ...]: to come with the next grant. '' if none."""
        names = [name for name in self._types if name in self.seen or name in self._arrays][-most:]
        return json.dumps([[name, self._types[name][1] or 0] for name in names]) if names else ""


def redis_key(state: str, name: str) -> str:
    """Where a value is that the lock of that state guards."""
    return f"{state}:value:{name}"
