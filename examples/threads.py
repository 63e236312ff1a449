"""Two threads of one worker print numbers and letters at the same time.

Run:      make up, then in another terminal: python -m examples.threads
You see:  "Number: 1" to "5" and "Letter: A" to "E", mixed, and the worker that printed each.
"""

from celery.result import ResultSet

from examples._claims import numbers_and_letters_interleave
from examples._runner import conclude
from tasks import print_letters, print_numbers, watch

if __name__ == "__main__":
    thread1 = print_numbers.delay()
    thread2 = print_letters.delay()

    _, lines = watch(ResultSet([thread1, thread2]))
    print("Both threads have finished.")
    conclude(numbers_and_letters_interleave(lines))
