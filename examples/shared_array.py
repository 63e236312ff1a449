"""Two processes count the last digits of squares in one interlock.Array, each update under the array's own lock.

Run:      make up, then in another terminal: python -m examples.shared_array
You see:  how many squares end with each digit, none left out: no square ends with 2, 3, 7 or 8.
          The counts are exact also when a worker is killed and its task runs again: it goes on where it was.
"""

from celery import group

import interlock
from examples._claims import every_square_is_counted
from examples._runner import conclude
from tasks import count_last_digits, watch

if __name__ == "__main__":
    histogram = interlock.Array("i", 10)
    halves = count_last_digits.s(histogram, 0, 2_000), count_last_digits.s(histogram, 2_000, 4_000)

    runs, _ = watch(group(halves).delay())
    print("Last digits:", histogram[:])
    conclude(every_square_is_counted(histogram[:], 4_000, runs))
