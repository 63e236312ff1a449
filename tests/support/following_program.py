"""Iterates over a batch of ten, and ends five of its tasks itself, as a worker does: tests take Redis away amid it."""

import sys

from celery.utils.objects import Bunch

from tasks import Batch, app, enqueue_many, print_square


def end(numbers):
    """Store the results of these tasks."""
    for number in numbers:
        app.backend.store_result(f"away-{number}", number, "SUCCESS", request=Bunch(group="batch:away"))


if __name__ == "__main__":
    if sys.argv[1] == "end":
        end(range(int(sys.argv[2]), int(sys.argv[3])))
    else:
        enqueue_many(print_square, [(number,) for number in range(10)], name="away")
        end(range(5))
        for outcome in Batch("away").outcomes(timeout=60):
            print(outcome.id, flush=True)
