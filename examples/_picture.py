"""Put tiles together to one picture, each in a frame of the colour of the worker process that drew it."""

import colorsys
import io
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw
from rich.console import Console

from tasks.mandelbrot import LIMIT_MAX, unpacked

Process = tuple[str, int]  # host and process id
Colour = tuple[int, int, int]  # red, green, blue, 0 to 255
GOLDEN = 0.618034  # of the circle of hues, from one process to the next: any number of processes differ
GREYS = [grey for count in range(256) for grey in [0 if count == LIMIT_MAX else min(40 + 3 * count, 255)] * 3]


def process(tile: Mapping[str, Any]) -> Process:
    """Return the process that drew the tile."""
    return tile["host"], tile["pid"]


def colours(tiles: Iterable[Mapping[str, Any]]) -> dict[Process, Colour]:
    """Return a colour for each process, in order of host and process id."""
    made = {}
    for number, each in enumerate(sorted({process(tile) for tile in tiles})):
        red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(number * GOLDEN % 1, 0.85, 1))
        made[each] = red, green, blue
    return made


def assemble(tiles: Sequence[Mapping[str, Any]], width: int, height: int) -> Image.Image:
    """Return the picture of these tiles; its width and height are in pixels.

    Raises:
        ValueError: the tiles do not cover each pixel once, or a tile does not hold the counts of its pixels.
    """
    picture = Image.new("RGB", (width, height))
    covered = Image.new("L", (width, height))
    frame = colours(tiles)
    for tile in tiles:
        size = tile["width"], tile["height"]
        box = (tile["x"], tile["y"], tile["x"] + size[0], tile["y"] + size[1])
        inside = min(size) > 0 <= min(box) and box[2] <= width and box[3] <= height
        if not inside or covered.crop(box).getbbox() is not None:
            raise ValueError(f"a tile must lie in the picture and on no other: that at {box[:2]}, {size}, does not")
        covered.paste(255, box)
        drawn = Image.frombytes("P", size, unpacked(tile["counts"], size[0] * size[1]))
        drawn.putpalette(GREYS)
        picture.paste(drawn.convert("RGB"), box)
        ImageDraw.Draw(picture).rectangle((box[0], box[1], box[2] - 1, box[3] - 1), outline=frame[process(tile)])
    if covered.getextrema() != (255, 255):
        raise ValueError("tiles must cover the whole picture: some are missing")
    return picture


def chosen_path(default: str) -> Path:
    """Return the file for the picture: the script's first argument, or the default in the current folder."""
    path = Path(sys.argv[1] if len(sys.argv) > 1 else default)
    if path.suffix.lower() != ".png" or not path.absolute().parent.is_dir():
        sys.exit(f"the picture must go to a .png file in a folder that exists, not {str(path)[:200]!r}")
    return path


def save(picture: Image.Image, path: Path) -> None:
    """Write the picture as PNG; end the program with one line if the file cannot be written."""
    png = io.BytesIO()
    picture.save(png, "PNG", optimize=True)
    try:
        path.write_bytes(png.getvalue())
    except OSError as error:
        sys.exit(f"error: {path} cannot be written: {error.strerror}; name another file")


def show_legend(tiles: Sequence[Mapping[str, Any]]) -> None:
    """Print a line for each process: its colour, and how many tiles it drew."""
    console = Console(highlight=False, soft_wrap=True)
    drew = Counter(process(tile) for tile in tiles)
    for each, colour in colours(tiles).items():
        code = "#{:02x}{:02x}{:02x}".format(*colour)
        console.print(f"[on {code}]  [/] {code}  {each[0]} pid {each[1]}: {drew[each]} tiles")
