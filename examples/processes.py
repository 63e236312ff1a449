"""Two worker processes compute the square and the cube of a number at the same time.

Run:      make up, then in another terminal: python -m examples.processes
You see:  "Square: 100" and "Cube: 1000", each from a process of its own.
"""

from celery import group

from examples._claims import square_and_cube_overlap
from examples._runner import conclude
from tasks import print_cube, print_square, watch

if __name__ == "__main__":
    p1 = print_square.s(10, pause=2.0)
    p2 = print_cube.s(10, pause=2.0)

    (square, cube), _ = watch(group(p1, p2).delay())
    print("Done!")
    conclude(square_and_cube_overlap(square, cube))
