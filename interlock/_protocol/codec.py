"""How items of a queue are written in Redis: JSON, bytes, or a pickle where that was asked for by name.

The first letter says which: `j` JSON text, `b` bytes in base64, `p` a pickle in base64. All is text: it does not
matter whether a client decodes replies.
"""

import json
import pickle
from binascii import a2b_base64, b2a_base64
from typing import Any

ITEM_BYTES_MAX = 1 << 20  # 1 MiB as sent by the caller: Redis serves nobody else while it copies; pass a name instead

JSON, BYTES, PICKLE = "j", "b", "p"
ALLOWED = "what JSON holds (None, bool, int, float, str, lists and dicts of these), bytes, or anything with pickle=True"


def encode(item: Any, *, pickles: bool) -> str:
    """An item as it is written.

    Raises:
        TypeError: JSON cannot hold it, and nobody asked for a pickle.
        ValueError: it is too large.
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
    """The item. One that is pickled is unpickled: who does not trust its writers must not have taken it."""
    kind, rest = written[:1], written[1:]
    if kind == JSON:
        return json.loads(rest)
    plain = a2b_base64(rest)
    return pickle.loads(plain) if kind == PICKLE else plain  # noqa: S301 - taken only by who asked for it by name


def raw(written: str) -> bytes:
    """The bytes of an item, without looking into them: JSON text, bytes or a pickle."""
    kind, rest = written[:1], written[1:]
    return rest.encode() if kind == JSON else a2b_base64(rest)


def _binary(kind: str, plain: bytes) -> str:
    _check_size(len(plain))
    return kind + b2a_base64(plain, newline=False).decode()


def _check_size(size: int) -> None:
    if size > ITEM_BYTES_MAX:
        raise ValueError(f"an item may have {ITEM_BYTES_MAX} bytes, not {size}: store it elsewhere and put its name")
