"""A program that has a session before it starts children, each of which ends in order: run by test_ending.py.

    python ending_program.py WAY START_METHOD NAME LEASE

Each child writes under a lock that lingers, and ends holding another one. Exit code 0: all children ended in order.
"""

import concurrent.futures
import multiprocessing
import os
import sys
import threading
import time

import interlock

CHILDREN, UPDATES = 2, 20
WAY, START, NAME, LEASE = sys.argv[1:]
lock = interlock.RLock(name=NAME, linger=10)
counter = interlock.Value("q", 0, name=f"{NAME}-counter", lock=lock)
kept = [interlock.Lock(name=f"{NAME}-kept-{number}", lease=float(LEASE)) for number in range(CHILDREN)]
BEFORE = counter.value  # here, at import: each child that imports this module has a session before its work


def work(number):
    for _ in range(UPDATES):
        with counter.get_lock():
            counter.value += 1
    kept[number].acquire()


def work_in_a_thread(number):
    """Its threads go on when the main thread has ended."""
    main = threading.main_thread()

    def go_on():
        interlock.Event(name=f"{NAME}-go").wait()
        work(number)

    assert threading.current_thread() is main
    threading.Thread(target=go_on).start()
    threading.Thread(target=lambda: (time.sleep(0.3), interlock.Event(name=f"{NAME}-go").set())).start()


def work_in_an_executor(number):
    """Of threads, that is not shut down."""
    concurrent.futures.ThreadPoolExecutor(1).submit(work_in_time, number)


def work_in_time(number):
    time.sleep(0.3)
    work(number)


def work_in_a_child(number):
    context = multiprocessing.get_context(START)
    child = context.Process(target=work, args=(number,))
    child.start()
    child.join()
    assert child.exitcode == 0


def work_in_a_forked_child(number):
    work_and_exit(number, lambda: sys.exit(0))


def work_and_exit(number, end):
    child = os.fork()
    if not child:
        work(number)
        end()
    assert os.waitpid(child, 0)[1] == 0


def work_and_raise(number):
    work(number)
    raise SystemExit(0)


class Worker(multiprocessing.get_context(START).Process):
    def __init__(self, number):
        super().__init__()
        self.number = number

    def run(self):
        work(self.number)


def all_end_well(processes):
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0, process


def main():
    context = multiprocessing.get_context(START)
    numbers = range(CHILDREN)
    targets = {
        "Process": work, "thread": work_in_a_thread, "executor": work_in_an_executor, "nested": work_in_a_child,
        "forked": work_in_a_forked_child, "SystemExit": work_and_raise,
    }  # fmt: skip
    if WAY in targets:
        all_end_well([context.Process(target=targets[WAY], args=(number,)) for number in numbers])
    elif WAY == "daemon":
        all_end_well([context.Process(target=work, args=(number,), daemon=True) for number in numbers])
    elif WAY == "subclass":
        all_end_well([Worker(number) for number in numbers])
    elif WAY == "Pool":
        pool = context.Pool(CHILDREN)
        pool.map(work, numbers, chunksize=1)
        pool.close()
        pool.join()
    elif WAY == "Pool, one task a child":
        pool = context.Pool(CHILDREN, maxtasksperchild=1)
        pool.map(work, numbers, chunksize=1)
        pool.close()
        pool.join()
    elif WAY == "ProcessPoolExecutor":
        with concurrent.futures.ProcessPoolExecutor(CHILDREN, mp_context=context) as pool:
            list(pool.map(work, numbers))
    elif WAY == "ProcessPoolExecutor, one task a child":
        with concurrent.futures.ProcessPoolExecutor(CHILDREN, mp_context=context, max_tasks_per_child=1) as pool:
            list(pool.map(work, numbers))
    elif WAY == "billiard":
        import billiard

        all_end_well([billiard.Process(target=work, args=(number,)) for number in numbers])
    elif WAY == "os.fork, sys.exit":
        for number in numbers:
            work_and_exit(number, lambda: sys.exit(0))
    elif WAY == "os.fork, os._exit":
        for number in numbers:
            work_and_exit(number, lambda: (interlock.close(), os._exit(0)))
    else:
        raise SystemExit(f"no such way: {WAY}")


if __name__ == "__main__":
    main()
