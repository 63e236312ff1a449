"""The Mandelbrot set, drawn in tiles by whichever worker processes are free, and put together here.

Run:      make up, then in another terminal: python -m examples.mandelbrot [FILE.png]
You see:  a picture in the file (mandelbrot.png, if you name none), each tile framed in the colour of the process that
          drew it, and the legend here.
"""

import sys

from celery import group

from examples import _picture
from examples._verdict import conclude
from tasks import draw_tile, watch

WIDTH, HEIGHT, SIDE = 640, 448, 64  # pixels


def main() -> int:
    path = _picture.chosen_path("mandelbrot.png")
    corners = [(x, y) for y in range(0, HEIGHT, SIDE) for x in range(0, WIDTH, SIDE)]
    tiles, _ = watch(group(draw_tile.s(x, y, SIDE, WIDTH, HEIGHT) for x, y in corners).delay())
    _picture.save(_picture.assemble(tiles, WIDTH, HEIGHT), path)
    _picture.show_legend(tiles)

    processes = {_picture.process(tile) for tile in tiles}
    return conclude(
        f"{len(tiles)} tiles, {path.name}",
        "tiles spread over several processes, and fit together",
        len(processes) > 1 and [(tile["x"], tile["y"]) for tile in tiles] == corners,
        tasks=len(tiles),
        processes=processes,
    )


if __name__ == "__main__":
    sys.exit(main())
