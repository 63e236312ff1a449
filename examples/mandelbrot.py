"""Whichever worker processes are free draw the Mandelbrot set in tiles; this program puts the tiles together.

Run:      make up, then in another terminal: python -m examples.mandelbrot [FILE.png]
You see:  a picture in the file (mandelbrot.png, if you name none), each tile framed in the colour of the process that
          drew it, and here how many tiles each process drew.
"""

from celery import group

from examples import _picture
from examples._claims import tiles_fit_together
from examples._runner import conclude
from tasks import draw_tile, watch

WIDTH, HEIGHT, SIDE = 640, 448, 64  # pixels

if __name__ == "__main__":
    file = _picture.chosen_path("mandelbrot.png")
    corners = [(x, y) for y in range(0, HEIGHT, SIDE) for x in range(0, WIDTH, SIDE)]

    tiles, _ = watch(group(draw_tile.s(x, y, SIDE, WIDTH, HEIGHT) for x, y in corners).delay())
    _picture.save(_picture.assemble(tiles, WIDTH, HEIGHT), file)
    _picture.show_legend(tiles)
    conclude(tiles_fit_together(tiles, corners, file.name))
