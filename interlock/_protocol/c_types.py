"""C types as text: what values and arrays hold in Redis. Overflow and errors are those of ctypes."""

import ctypes
import json
import math
from collections.abc import Sequence
from typing import Any

from interlock._text import plain

# The type codes of multiprocessing, and one of struct for the type for which multiprocessing has none.
CTYPES: dict[str, Any] = {
    "c": ctypes.c_char, "u": ctypes.c_wchar, "b": ctypes.c_byte, "B": ctypes.c_ubyte, "h": ctypes.c_short,
    "H": ctypes.c_ushort, "i": ctypes.c_int, "I": ctypes.c_uint, "l": ctypes.c_long, "L": ctypes.c_ulong,
    "q": ctypes.c_longlong, "Q": ctypes.c_ulonglong, "f": ctypes.c_float, "d": ctypes.c_double, "?": ctypes.c_bool,
}  # fmt: skip


def held_as_they_are(typecode: str) -> tuple[Any, float, float]:
    """Return (Python type, lowest, highest): the C type holds each value of that Python type in that range unchanged.

    It may hold other values unchanged too. For a type that is neither an integer nor a double, the range is empty.
    """
    if typecode == "d":
        return float, -math.inf, math.inf
    if typecode not in "bBhHiIlLqQ":
        return int, 0, -1
    bits = 8 * ctypes.sizeof(CTYPES[typecode])
    return (int, 0, 2**bits - 1) if typecode.isupper() else (int, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def typecode_of(typecode_or_type: Any) -> str:
    """Return the type code of a type code or of a ctypes type.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(typecode_or_type, str) and plain(typecode_or_type) in CTYPES:
        return plain(typecode_or_type)
    for code, ctype in CTYPES.items():
        if typecode_or_type is ctype:
            return code
    raise TypeError(f"typecode must be one of {' '.join(CTYPES)} or its ctypes type, not {typecode_or_type!r}")


def converted(typecode: str, value: Any) -> Any:
    """Return a value as C holds it: overflow wraps, as in ctypes.

    Raises:
        TypeError: the type cannot hold the value.
        UnicodeEncodeError: the value is no text.
    """
    held = CTYPES[typecode](value).value
    if typecode == "u":
        held.encode()  # half of a surrogate pair is no text
    return held


def encode(typecode: str, value: Any) -> str:
    """Return the text of a value as C holds it, such as '42'. Raises what `converted` raises."""
    held = converted(typecode, value)
    plain = held.decode("latin-1") if typecode == "c" else held
    return plain if typecode in "cu" else json.dumps(plain)


def decode(typecode: str, text: str, token: int = -1) -> Any:
    """Return the value that a text encodes.

    For the holder with that token, the value leaves out what others added since that holder got the lock
    (lock_add.lua).
    """
    if typecode in "cu":
        return text.encode("latin-1") if typecode == "c" else text
    base, *added = text.split(" ")
    if not added:
        return json.loads(base)
    before, by, since = added
    steps = (before,) if int(by) == token else (before, since)
    return converted(typecode, json.loads(base) + sum(_step(typecode, each) for each in steps if each != "-"))


def decode_array(pairs: Sequence[str]) -> tuple[str, list[Any]]:
    """Return the type code and the elements of an array from its hash: field, value, ... (array_create.lua)."""
    texts = dict(zip(pairs[::2], pairs[1::2], strict=True))
    typecode, _, length = texts["type"].partition(":")
    empty = zero(typecode)
    return typecode, [
        decode(typecode, texts[index]) if (index := str(i)) in texts else empty for i in range(int(length))
    ]


def encode_step(typecode: str, step: Any) -> str:
    """Return a step, which is to be added to a value, as lock_add.lua reads it.

    Raises:
        TypeError: the type allows no addition, or cannot hold the step.
    """
    if typecode in "cu?":
        raise TypeError(f"nothing can be added to a value of type code {typecode!r}: add to one of numbers")
    converted(typecode, step)
    return repr(float(step)) if typecode in "fd" else f"{step % 2**64:016x}"


def _step(typecode: str, text: str) -> int | float:
    return float(text) if typecode in "fd" else int(text, 16)


def zero(typecode: str) -> Any:
    """Return what a value holds that was given no initial value."""
    return CTYPES[typecode]().value
