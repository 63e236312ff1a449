"""One turn, in a process of its own: `python -m bench.enqueue.producer WAY COUNT`. It prints a JSON object.

The clock starts when the connections are open. The memory is by how much the process's largest resident size has grown
since then.
"""

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator

from tasks import app, enqueue_many, print_square
from tasks.celery_app.base import Task

WARM_UP = 20  # tasks
NUMBERS = 1000  # different arguments


def calls(count: int) -> Iterator[tuple[int]]:
    """Yield the arguments of each task."""
    return ((number % NUMBERS,) for number in range(count))


def loop(task: Task, count: int) -> None:
    """Enqueue by a loop, and keep no handle."""
    for arguments in calls(count):
        task.delay(*arguments)


def loop_keeping(task: Task, count: int) -> None:
    """Enqueue by a loop, and keep each handle, as who waits for the results must."""
    kept = [task.delay(*arguments) for arguments in calls(count)]
    assert len(kept) == count


def many(task: Task, count: int) -> None:
    """Enqueue by `enqueue_many`, from a generator."""
    assert enqueue_many(task, calls(count), queue_max=None).enqueued == count


def many_from_a_list(task: Task, count: int) -> None:
    """Enqueue by `enqueue_many`, from a list, all of which is checked first."""
    assert enqueue_many(task, list(calls(count)), queue_max=None).enqueued == count


WAYS: dict[str, Callable[[Task, int], None]] = {
    "loop of delay()": loop,
    "loop of delay(), results kept": loop_keeping,
    "enqueue_many, generator": many,
    "enqueue_many, list": many_from_a_list,
}


def largest_kb() -> int:
    """Return the largest resident size of this process, in kB."""
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size // 1024 if sys.platform == "darwin" else size


def main() -> None:
    """Do one turn."""
    way, count = WAYS[sys.argv[1]], int(sys.argv[2])
    way(print_square, WARM_UP)
    before, began, spent = largest_kb(), time.perf_counter(), time.process_time()
    way(print_square, count)
    seconds, cpu = time.perf_counter() - began, time.process_time() - spent
    with app.producer_or_acquire() as producer:
        waiting = producer.channel._size("cpu")
    print(json.dumps({"seconds": seconds, "cpu": cpu, "kb": largest_kb() - before, "waiting": waiting}))


if __name__ == "__main__":
    main()
