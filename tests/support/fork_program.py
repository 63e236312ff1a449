"""A producer that forks after its first result, as `gunicorn --preload` does: run by test_forks.py.

    python fork_program.py WAY CHILDREN CALLS

The parent and all children call tasks and wait for the results, at the same time. Exit code 0: all came.
"""

import multiprocessing
import os
import sys
import threading
import time
import traceback

from tasks import sum_counts

WAY, CHILDREN, CALLS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
WITHIN = 20  # seconds for each result


def call(mark, calls=CALLS):
    """Call tasks one by one, then many at once."""
    for number in range(calls):
        assert sum_counts.delay([mark, number]).get(timeout=WITHIN) == mark + number
    results = [sum_counts.delay([mark, number]) for number in range(calls)]
    assert [result.get(timeout=WITHIN) for result in results] == [mark + number for number in range(calls)]


def in_child(mark, inherited):
    call(mark)
    for result in inherited:  # what the parent called, and waits for as well
        assert result.get(timeout=WITHIN) == 7


def forked(mark, inherited):
    child = os.fork()
    if child:
        return child
    try:
        in_child(mark, inherited)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def main():
    assert sum_counts.delay([1, 2]).get(timeout=WITHIN) == 3
    pending = [sum_counts.delay([3, 4]) for _ in range(3)]
    busy, ended = [], threading.Event()
    if WAY == "os.fork, a thread waits":  # with whatever lock it has at that moment

        def keep_calling():
            while not ended.is_set():
                call(5000, 1)

        busy = [threading.Thread(target=keep_calling) for _ in range(3)]
        for thread in busy:
            thread.start()
        time.sleep(0.2)
    if WAY == "multiprocessing":
        context = multiprocessing.get_context("fork")
        processes = [context.Process(target=in_child, args=(1000 * n, pending)) for n in range(1, CHILDREN + 1)]
        for process in processes:
            process.start()
    else:
        children = [forked(1000 * n, pending) for n in range(1, CHILDREN + 1)]
    call(0)
    assert [result.get(timeout=WITHIN) for result in pending] == [7, 7, 7]
    if WAY == "multiprocessing":
        for process in processes:
            process.join()
        codes = [process.exitcode for process in processes]
    else:
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    call(0)  # no child has taken the parent's subscriptions with it
    ended.set()
    for thread in busy:
        thread.join()
    assert codes == [0] * CHILDREN, codes


if __name__ == "__main__":
    main()
