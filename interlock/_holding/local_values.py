"""Copies of the values that a lock guards: the holder reads and writes them, and sends them back under its token."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from interlock._holding.turns import NO_BIAS, Bias
from interlock._protocol import c_types
from interlock._protocol.scripts import Writes

Key: TypeAlias = str | tuple[str, int]
"""A value by its name, or an element of an array by the array's name and its index."""

MISSING: Any = object()

WANTED_MAX = 8  # values that come with a grant; the process reads others when a section uses them

Section: TypeAlias = object | None
"""A section of code under the lock, identified by an object that no other section has; None: no section."""


class LocalValue:
    """The copy of one value, or of one element of an array.

    Other threads can read what finished sections wrote while another section runs, for the first write of that section
    leaves in `before` what was there. `LocalValues.write` writes, and `finished` reads, in an order that makes a mutex
    unnecessary.
    """

    __slots__ = ("before", "bias", "gone", "now", "section", "sent")

    def __init__(self) -> None:
        self.now: Any = MISSING  # what sections read
        self.before: Any = MISSING  # what was there before the section that wrote it last
        self.section: Section = None  # the section that wrote it last
        self.sent: Any = MISSING  # the last of what sections wrote that Redis has stored
        self.gone = False  # the value was unlinked: Redis has no longer what it stored of it
        self.bias = NO_BIAS  # a thread that is inside by this bias may read and write the copy by the fast paths

    def finished(self, running: Section) -> Any:
        """Return what the copy holds without what the section that runs wrote; MISSING if it holds nothing."""
        now = self.now  # first: if that section first writes the value after this, `now` is what was there before
        return self.before if running is not None and self.section is running else now


NO_LOCAL_VALUE = LocalValue()


class LocalValues:
    """The copies of values that belong to one hold.

    There is no mutex: to all threads, `copy` and `update` of a plain dict are one step each.

    Args:
        token: the fencing token of the grant.
    """

    def __init__(self, token: int) -> None:
        self.token = token
        self.by_key: dict[Key, LocalValue] = {}
        self.written: dict[
            Key, LocalValue
        ] = {}  # those of them that any section wrote, or may write by the fast paths, which tell nobody
        self._arrays: set[str] = set()  # names of the arrays that were read whole
        self._types: dict[str, tuple[str, int | None]] = {}  # type code and ttl (ms) by name
        self._used: dict[str, bool] = {}  # names of the values that were used, the latest last

    def use(self, name: str, typecode: str, ttl_ms: int | None) -> None:
        """Note that a section is about to use a value or an array, with its type code and its ttl in ms."""
        self._types[name] = typecode, ttl_ms
        self._used.pop(name, None)
        self._used[name] = True

    def know_whole(self, name: str, elements: Mapping[Key, Any]) -> None:
        """Take in all elements of an array as Redis has them; what sections wrote here is newer, and stays."""
        for key, element in elements.items():
            if self.read(key) is MISSING:
                self.local_value(key).now = element
        self._arrays.add(name)

    def local_value(self, key: Key) -> LocalValue:
        """Return the copy of that value; make an empty one if there is none."""
        found = self.by_key.get(key)
        return self.by_key.setdefault(key, LocalValue()) if found is None else found

    def read(self, key: Key) -> Any:
        """Return what the section sees; MISSING if there is no copy here."""
        found = self.by_key.get(key)
        return MISSING if found is None else found.now

    def write(self, key: Key, value: Any, section: Section) -> LocalValue:
        """Write a value, as its C type holds it, for that section; return the copy."""
        local_value = self.local_value(key)
        self.written[key] = local_value  # first: a new value that `written` lacks would be seen and never sent
        if local_value.section is not section:
            local_value.before = local_value.now
            local_value.section = section
        local_value.now = value
        return local_value

    def forget(self, name: str, running: Section) -> None:
        """Forget a value or an array that was unlinked, but for what the section that runs wrote to it.

        That section goes on reading what it wrote, and gets `GoneError` when its writes are to be stored.
        """
        self._arrays.discard(name)
        for key, local_value in self.by_key.copy().items():
            if key == name or (isinstance(key, tuple) and key[0] == name):
                local_value.gone = True
                if running is None or local_value.section is not running:
                    self.by_key.pop(key, None)  # first: see `reach`
                    local_value.bias = NO_BIAS

    def reach(self, key: Key, local_value: LocalValue, bias: Bias) -> None:
        """Let the thread that is inside, and has that bias, use a value by the fast paths."""
        self.written[key] = local_value  # first, as in `write`
        local_value.bias = bias
        if self.by_key.get(key) is not local_value:  # `forget` has dropped it meanwhile
            local_value.bias = NO_BIAS

    def finished(self, running: Section) -> dict[Key, Any]:
        """Return what finished sections wrote, while the section `running` runs."""
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
        """Return what finished sections wrote and Redis has not stored: all that a section wrote, or nothing of it."""
        found = self.finished(running)
        return {key: value for key, value in found.items() if self.written.get(key, NO_LOCAL_VALUE).sent is not value}

    def stored(self, sent: Mapping[Key, Any]) -> None:
        """Note that Redis has stored these values."""
        for key, value in sent.items():
            local_value = self.written.get(key)
            if local_value is not None:
                local_value.sent = value

    def receive(self, wants: str, texts: Sequence[str | None]) -> None:
        """Take in the values that came with the grant; None stands for a value that is gone: its reader notices it."""
        for (name, ttl_ms), text in zip(json.loads(wants) if texts else (), texts, strict=True):
            if text is not None and text.startswith("*:"):
                typecode, elements = c_types.decode_array(json.loads(text[2:]))
                self._types[name] = typecode, ttl_ms or None
                self.know_whole(name, {(name, index): element for index, element in enumerate(elements)})
            elif text is not None:
                self._types[name] = text[0], ttl_ms or None
                self.local_value(name).now = c_types.decode(text[0], text[2:], self.token)

    def encoded(self, state: str, unsent: Mapping[Key, Any]) -> Writes:
        """Return unsent values in the form that the scripts want."""
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
        """Seconds after which Redis drops the first of the values that were used, if nobody touches it there."""
        return min((ttl_ms / 1000 for _, ttl_ms in self._types.copy().values() if ttl_ms), default=float("inf"))

    def wanted(self) -> str:
        """Return which values are to come with the next grant: the latest used, as JSON [[name, ttl in ms or 0], ...].

        '' if no section used any.
        """
        names = [name for name in list(self._used) if name in self.by_key or name in self._arrays][-WANTED_MAX:]
        return json.dumps([[name, self._types[name][1] or 0] for name in names]) if names else ""


def redis_key(state: str, name: str) -> str:
    """Return the key in Redis of a value that a lock guards; `state` is the lock's own key."""
    return f"{state}:value:{name}"
