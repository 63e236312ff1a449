"""How the items of a queue are written in Redis: as JSON, as bytes, or as a pickle where a caller asks for it.

A caller asks for a pickle by name. The first letter says which of the three it is: `j` JSON text, `b` bytes in base64,
`p` a pickle in base64. All of it is text, so it does not matter whether a client decodes replies.
"""

import json
import pickle
from binascii import a2b_base64, b2a_base64
from typing import Any

# 1 MiB, as the caller sends it. While Redis copies an item, it serves no other client: for more, put a name instead.
ITEM_BYTES_MAX = 1 << 20

JSON, BYTES, PICKLE = "j", "b", "p"
ALLOWED = "what JSON holds (None, bool, int, float, str, lists and dicts of these), bytes, or anything with pickle=True"


def encode(item: Any, *, pickles: bool) -> str:
    """Return an item as it is written in Redis.

    Raises:
        TypeError: JSON cannot hold the item, and the caller did not ask for a pickle.
        ValueError: the item is too large.
    """
    if isinstance(item, bytes):
        return _binary(BYTES, item)
    if pickles:
        return _binary(PICKLE, pickle.dumps(item))
    try:
        text = json.dumps(item, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"cannot put {type(item).__name__}: {error}; an item is {ALLOWED}") from None
    _check_size(len(text))
    return JSON + text


def decode(written: str) -> Any:
    """Return the item that was written. This unpickles a pickle.

    A caller that does not trust the writers of a queue must not take pickles from it.
    """
    kind, rest = written[:1], written[1:]
    if kind == JSON:
        return json.loads(rest)
    plain = a2b_base64(rest)
    return pickle.loads(plain) if kind == PICKLE else plain  # noqa: S301 - the caller asked for pickles by name


def raw(written: str) -> bytes:
    """Return the bytes of an item without decoding it: JSON text, bytes or a pickle."""
    kind, rest = written[:1], written[1:]
    return rest.encode() if kind == JSON else a2b_base64(rest)


def _binary(kind: str, plain: bytes) -> str:
    _check_size(len(plain))
    return kind + b2a_base64(plain, newline=False).decode()


def _check_size(size: int) -> None:
    if size > ITEM_BYTES_MAX:
        raise ValueError(f"an item may have {ITEM_BYTES_MAX} bytes, not {size}: store it elsewhere and put its name")
