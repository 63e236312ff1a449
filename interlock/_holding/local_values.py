"""Copies of the values that a lock guards: its holder reads and writes them, and sends them back under its token."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from interlock._holding.turns import NO_BIAS, Bias
from interlock._protocol import c_types
from interlock._protocol.scripts import Writes

Key: TypeAlias = str | tuple[str, int]
"""A value by its name, or an element of an array by the array's name and its index."""

MISSING: Any = object()

WANTED_MAX = 8  # values that come with a grant; others are read when they are used

Section: TypeAlias = object | None
"""A section of code under the lock, by whatever object nothing else is; None: none."""


class LocalValue:
    """The copy of one value, or of one element of an array.

    What finished sections wrote can be read amid another one, for its first write leaves what was there in `before`.
    The order of a write, and of a read in `finished`, lets both go on without a mutex.
    """

    __slots__ = ("before", "bias", "gone", "now", "section", "sent")

    def __init__(self) -> None:
        self.now: Any = MISSING  # what sections read
        self.before: Any = MISSING  # what was there when the section began that wrote it last
        self.section: Section = None  # that wrote it last
        self.sent: Any = MISSING  # what Redis has stored, of what was written
        self.gone = False  # the value was unlinked: what Redis has stored of it is no more
        self.bias = NO_BIAS  # who is inside by it may read and write this, without asking anybody

    def finished(self, running: Section) -> Any:
        """What it holds but for the section that runs; MISSING if nothing."""
        now = self.now  # first: if that section begins to write it after this, then `now` is what was before
        return self.before if running is not None and self.section is running else now


NO_LOCAL_VALUE = LocalValue()


class LocalValues:
    """The values of one hold.

    `copy` and `update` of a plain dict are one step each to all threads: there is no mutex.

    Args:
        token: with which the lock was granted.
    """

    def __init__(self, token: int) -> None:
        self.token = token  # of the grant
        self.by_key: dict[Key, LocalValue] = {}
        self.written: dict[
            Key, LocalValue
        ] = {}  # those of them that any section wrote, or may write without asking anybody
        self._arrays: set[str] = set()  # names of those that were read whole
        self._types: dict[str, tuple[str, int | None]] = {}  # type code and ttl (ms) by name
        self._used: dict[str, bool] = {}  # by name, the latest last

    def use(self, name: str, typecode: str, ttl_ms: int | None) -> None:
        """A section is about to use a value or an array, of which this is the type code; and its ttl in ms."""
        self._types[name] = typecode, ttl_ms
        self._used.pop(name, None)
        self._used[name] = True

    def know_whole(self, name: str, elements: Mapping[Key, Any]) -> None:
        """All elements of an array, as Redis has them; those that the sections wrote are newer."""
        for key, element in elements.items():
            if self.read(key) is MISSING:
                self.local_value(key).now = element
        self._arrays.add(name)

    def local_value(self, key: Key) -> LocalValue:
        """The one of that value."""
        found = self.by_key.get(key)
        return self.by_key.setdefault(key, LocalValue()) if found is None else found

    def read(self, key: Key) -> Any:
        """What the section sees; MISSING if that is not here."""
        found = self.by_key.get(key)
        return MISSING if found is None else found.now

    def write(self, key: Key, value: Any, section: Section) -> LocalValue:
        """The section writes a value, as its C type holds it."""
        local_value = self.local_value(key)
        self.written[key] = local_value  # first: what is seen and not written would never be sent
        if local_value.section is not section:
            local_value.before = local_value.now
            local_value.section = section
        local_value.now = value
        return local_value

    def forget(self, name: str, running: Section) -> None:
        """A value is no more: only what the section wrote to it is read here; it is told when that is to be stored."""
        self._arrays.discard(name)
        for key, local_value in self.by_key.copy().items():
            if key == name or (isinstance(key, tuple) and key[0] == name):
                local_value.gone = True
                if running is None or local_value.section is not running:
                    self.by_key.pop(key, None)  # first: see `reach`
                    local_value.bias = NO_BIAS

    def reach(self, key: Key, local_value: LocalValue, bias: Bias) -> None:
        """Let the fast paths of the thread that is inside, and has that bias, use a value."""
        self.written[key] = local_value  # first, as in `write`
        local_value.bias = bias
        if self.by_key.get(key) is not local_value:  # forgotten meanwhile
            local_value.bias = NO_BIAS

    def finished(self, running: Section) -> dict[Key, Any]:
        """What finished sections wrote, while that one runs."""
        found = {}
        for key, local_value in self.written.copy().items():
            value = local_value.finished(running)
            if (
                value is not MISSING
                and local_value.section is not None
                and not (local_value.gone and local_value.sent is value)
            ):
                found[key] = value
        return found

    def wrote(self, section: Section) -> bool:
        """Whether that section wrote anything."""
        return any(local_value.section is section for local_value in self.written.copy().values())

    def unsent(self, running: Section) -> dict[Key, Any]:
        """What finished sections wrote and Redis has not stored; all of a section or nothing."""
        found = self.finished(running)
        return {key: value for key, value in found.items() if self.written.get(key, NO_LOCAL_VALUE).sent is not value}

    def stored(self, sent: Mapping[Key, Any]) -> None:
        """Redis has stored this."""
        for key, value in sent.items():
            local_value = self.written.get(key)
            if local_value is not None:
                local_value.sent = value

    def receive(self, wants: str, texts: Sequence[str | None]) -> None:
        """These values came with the grant; None: gone, which is noticed when it is read."""
        for (name, ttl_ms), text in zip(json.loads(wants) if texts else (), texts, strict=True):
            if text is not None and text.startswith("*:"):
                typecode, elements = c_types.decode_array(json.loads(text[2:]))
                self._types[name] = typecode, ttl_ms or None
                self.know_whole(name, {(name, index): element for index, element in enumerate(elements)})
            elif text is not None:
                self._types[name] = text[0], ttl_ms or None
                self.local_value(name).now = c_types.decode(text[0], text[2:], self.token)

    def encoded(self, state: str, unsent: Mapping[Key, Any]) -> Writes:
        """Something unsent as the scripts want it."""
        writes: dict[str, tuple[str | dict[str, str], int | None]] = {}
        for key, value in unsent.items():
            if isinstance(key, str):
                typecode, ttl_ms = self._types[key]
                writes[redis_key(state, key)] = f"{typecode}:{c_types.encode(typecode, value)}", ttl_ms
            else:
                name, index = key
                typecode, ttl_ms = self._types[name]
                elements, _ = writes.setdefault(redis_key(state, name), ({}, ttl_ms))
                assert isinstance(elements, dict)
                elements[str(index)] = c_types.encode(typecode, value)
        return writes

    @property
    def shortest_ttl(self) -> float:
        """Seconds after which the first of the values that were used vanishes if nobody touches it in Redis."""
        return min((ttl_ms / 1000 for _, ttl_ms in self._types.copy().values() if ttl_ms), default=float("inf"))

    def wanted(self) -> str:
        """The values that were used, as JSON [[name, ttl in ms or 0], ...]: to come with the next grant. '' if none."""
        names = [name for name in list(self._used) if name in self.by_key or name in self._arrays][-WANTED_MAX:]
        return json.dumps([[name, self._types[name][1] or 0] for name in names]) if names else ""


def redis_key(state: str, name: str) -> str:
    """Where a value is that the lock of that state guards."""
    return f"{state}:value:{name}"
