"""C types as text: what values and arrays hold in Redis, with ctypes' overflow and ctypes' errors."""

import ctypes
import json
from typing import Any

# The type codes of multiprocessing, and that of struct for what it has no code for.
CTYPES: dict[str, Any] = {
    "c": ctypes.c_char, "u": ctypes.c_wchar, "b": ctypes.c_byte, "B": ctypes.c_ubyte, "h": ctypes.c_short,
    "H": ctypes.c_ushort, "i": ctypes.c_int, "I": ctypes.c_uint, "l": ctypes.c_long, "L": ctypes.c_ulong,
    "q": ctypes.c_longlong, "Q": ctypes.c_ulonglong, "f": ctypes.c_float, "d": ctypes.c_double, "?": ctypes.c_bool,
}  # fmt: skip


def int_range(typecode: str) -> tuple[int, int]:
    """The least and the largest int that the type holds as it is; nothing, (0, -1), if it is no type of ints."""
    if typecode not in "bBhHiIlLqQ":
        return 0, -1
    bits = 8 * ctypes.sizeof(CTYPES[typecode])
    return (0, 2**bits - 1) if typecode.isupper() else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def typecode_of(typecode_or_type: Any) -> str:
    """The type code of a type code or of a ctypes type."""
    if isinstance(typecode_or_type, str) and typecode_or_type in CTYPES:
        return typecode_or_type
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


def decode(typecode: str, text: str) -> Any:
    """The value of its text."""
    return text.encode("latin-1") if typecode == "c" else text if typecode == "u" else json.loads(text)


def zero(typecode: str) -> Any:
    """What a value holds that was given none."""
    return CTYPES[typecode]().value
