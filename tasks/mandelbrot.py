"""The Mandelbrot set in tiles, in pure Python: work that keeps a processor, and the interpreter's lock, busy.

The view is fixed: SPAN wide, from LEFT on, around the real axis; its height follows from the picture's.
"""

import base64
import zlib
from typing import Any

from tasks.celery_app import app, checks
from tasks.support.output import place, progress

LEFT, SPAN = -2.2, 3.2  # of the complex plane
PICTURE_MAX = 4096  # pixels, each way
TILE_MAX = 128  # pixels, each way: its counts are 16 KiB at most
LIMIT_MAX = 255  # rounds: a count is a byte


def _check(x: int, y: int, side: int, width: int, height: int, limit: int) -> None:
    checks.whole_number("width", width, 1, PICTURE_MAX)
    checks.whole_number("height", height, 1, PICTURE_MAX)
    checks.whole_number("x", x, 0, PICTURE_MAX - 1 if width is checks.LATER else width - 1)
    checks.whole_number("y", y, 0, PICTURE_MAX - 1 if height is checks.LATER else height - 1)
    checks.whole_number("side", side, 1, TILE_MAX)
    checks.whole_number("limit", limit, 1, LIMIT_MAX)


def rounds(c: complex, limit: int) -> int:
    """Return the number of rounds of z = z * z + c, from z = 0, until z is farther than 2 from 0; at most the limit."""
    z = 0j
    for number in range(limit):
        if abs(z) > 2:
            return number
        z = z * z + c
    return limit


@app.task(queue="cpu", check=_check)
def draw_tile(x: int, y: int, side: int, width: int, height: int, limit: int = LIMIT_MAX) -> dict[str, Any]:
    """Count the rounds for each pixel of a tile.

    Args:
        x: pixels from the picture's left edge to the tile's.
        y: pixels from the picture's top edge to the tile's.
        side: pixels, each way; less at the picture's right and lower edge.
        width: of the picture, in pixels.
        height: of the picture, in pixels.
        limit: rounds, at most, 1 to 255.

    Returns:
        `x`, `y`, `width` and `height` of the tile; its `counts`, a byte a pixel, row by row, as `packed` encodes them;
        and where the task ran: `host` and `pid`.
    """
    columns = range(x, min(x + side, width))
    lines = range(y, min(y + side, height))
    scale = SPAN / width
    reals = [LEFT + scale * (column + 0.5) for column in columns]
    imaginaries = [scale * (height / 2 - line - 0.5) for line in lines]
    counts = bytearray()
    for row, imaginary in enumerate(imaginaries, 1):
        counts.extend(rounds(complex(real, imaginary), limit) for real in reals)
        progress(row, len(imaginaries))
    return {"x": x, "y": y, "width": len(columns), "height": len(lines), "counts": packed(counts), **place()}


def packed(counts: bytes | bytearray) -> str:
    """Return the bytes as text for JSON: compressed, in base64."""
    return base64.b64encode(zlib.compress(counts)).decode()


def unpacked(text: str, size: int) -> bytes:
    """Return the `size` bytes of a text that `packed` made. Raises ValueError if the text holds anything else."""
    try:
        unpacker = zlib.decompressobj()
        counts = unpacker.decompress(base64.b64decode(text, validate=True), size + 1)  # never more, whatever comes
    except (ValueError, zlib.error) as error:
        raise ValueError(f"a tile's counts must be what draw_tile returned; they cannot be unpacked: {error}") from None
    if len(counts) != size or not unpacker.eof:
        raise ValueError(f"a tile's counts must be {size:,} bytes, one a pixel: they are more, or less")
    return counts
