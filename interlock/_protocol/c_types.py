"""C types as text: what values and arrays hold in Redis, with ctypes' overflow and ctypes' errors."""

import ctypes
import json
import math
from collections.abc import Sequence
from typing import Any

from interlock._text import plain

# The type codes of multiprocessing, and that of struct for what it has no code for.
CTYPES: dict[str, Any] = {
    "c": ctypes.c_char, "u": ctypes.c_wchar, "b": ctypes.c_byte, "B": ctypes.c_ubyte, "h": ctypes.c_short,
    "H": ctypes.c_ushort, "i": ctypes.c_int, "I": ctypes.c_uint, "l": ctypes.c_long, "L": ctypes.c_ulong,
    "q": ctypes.c_longlong, "Q": ctypes.c_ulonglong, "f": ctypes.c_float, "d": ctypes.c_double, "?": ctypes.c_bool,
}  # fmt: skip


def held_as_they_are(typecode: str) -> tuple[Any, float, float]:
    """Which values the type holds as they are: those of what Python type, from which to which; perhaps not all."""
    if typecode == "d":
        return float, -math.inf, math.inf
    if typecode not in "bBhHiIlLqQ":
        return int, 0, -1
    bits = 8 * ctypes.sizeof(CTYPES[typecode])
    return (int, 0, 2**bits - 1) if typecode.isupper() else (int, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def typecode_of(typecode_or_type: Any) -> str:
    """The type code of a type code or of a ctypes type."""
    if isinstance(typecode_or_type, str) and plain(typecode_or_type) in CTYPES:
        return plain(typecode_or_type)
    for code, ctype in CTYPES.items():
        if typecode_or_type is ctype:
            return code
    raise TypeError(f"typecode must be one of {' '.join(CTYPES)} or its ctypes type, not {typecode_or_type!r}")


def converted(typecode: str, value: Any) -> Any:
    """A value as C has it: overflow wraps, as in ctypes.

    Raises TypeError for what the type cannot hold, and UnicodeEncodeError for what is no text.
    """
    held = CTYPES[typecode](value).value
    if typecode == "u":
        held.encode()  # half of a surrogate pair is no text
    return held


def encode(typecode: str, value: Any) -> str:
    """A value as C has it, as text: '42'. Raises as `converted`."""
    held = converted(typecode, value)
    plain = held.decode("latin-1") if typecode == "c" else held
    return plain if typecode in "cu" else json.dumps(plain)


def decode(typecode: str, text: str, token: int = -1) -> Any:
    """The value of its text; for the holder with that token, without what was added since it holds (lock_add.lua)."""
    if typecode in "cu":
        return text.encode("latin-1") if typecode == "c" else text
    base, *added = text.split(" ")
    if not added:
        return json.loads(base)
    before, by, since = added
    steps = (before,) if int(by) == token else (before, since)
    return converted(typecode, json.loads(base) + sum(_step(typecode, each) for each in steps if each != "-"))


def decode_array(pairs: Sequence[str]) -> tuple[str, list[Any]]:
    """The type code and the elements of an array from its hash, field, value, ... (array_create.lua)."""
    texts = dict(zip(pairs[::2], pairs[1::2], strict=True))
    typecode, _, length = texts["type"].partition(":")
    empty = zero(typecode)
    return typecode, [
        decode(typecode, texts[index]) if (index := str(i)) in texts else empty for i in range(int(length))
    ]


def encode_step(typecode: str, step: Any) -> str:
    """What is to be added, as lock_add.lua has it. Raises TypeError for what cannot be added to the type."""
    if typecode in "cu?":
        raise TypeError(f"nothing can be added to a value of type code {typecode!r}: add to one of numbers")
    converted(typecode, step)
    return repr(float(step)) if typecode in "fd" else f"{step % 2**64:016x}"


def _step(typecode: str, text: str) -> int | float:
    return float(text) if typecode in "fd" else int(text, 16)


def zero(typecode: str) -> Any:
    """What a value holds that was given none."""
    return CTYPES[typecode]().value
