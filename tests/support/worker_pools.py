"""Calls that write under a lock that lingers, and return by what multiprocessing sends: for test_commit_points.py.

Each way makes so many calls, hears that they have returned, and kills whoever ran them.
"""

import concurrent.futures
import itertools
import multiprocessing
import os
import signal
import threading
import time

import billiard
import redis

import interlock
from interlock._holding import commit_points, lingering_lock

CALLS, WORKERS = 24, 2
counter = None


def set_up(name, broken=False):
    """In each worker."""
    global counter
    if broken:
        commit_points._commit = lambda *_: None
    lingering_lock.COMMIT = lingering_lock.LOOK_IDLE = 60.0  # seconds: no look of the heartbeat comes to the rescue
    counter = interlock.Value("q", 0, name=name, lock=interlock.RLock(name=name, linger=10))


def update(_=None, by=1):
    with counter.get_lock():
        counter.value += by
    return 1


def fail(_):
    update()
    raise ZeroDivisionError


def update_in_threads(_):
    threads = [threading.Thread(target=update) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 3


# --- pools ---


def by_pool(context, set_up_with, call):
    """The calls that had returned when the pool was terminated."""
    with context.Pool(WORKERS, set_up, set_up_with) as pool:
        return call(pool)


def caught(results):
    done = 0
    for result in results:
        try:
            result.get(60)
        except ZeroDivisionError:
            done += 1
    return done


def first_of(results):
    """As many as have come when half of them have."""
    return sum(next(results) for _ in range(CALLS // 2))


CALLS_OF_A_POOL = {
    "map": lambda pool: sum(pool.map(update, range(CALLS), chunksize=1)),
    "map in chunks": lambda pool: sum(pool.map(update, range(CALLS), chunksize=6)),
    "apply": lambda pool: sum(pool.apply(update) for _ in range(CALLS)),
    "starmap": lambda pool: sum(pool.starmap(update, [(None, 1)] * CALLS)),
    "imap": lambda pool: sum(pool.imap(update, range(CALLS))),
    "imap_unordered": lambda pool: sum(pool.imap_unordered(update, range(CALLS))),
    "map_async": lambda pool: sum(pool.map_async(update, range(CALLS)).get(60)),
    "exceptions": lambda pool: caught([pool.apply_async(fail, (None,)) for _ in range(CALLS)]),
    "threads": lambda pool: sum(pool.map(update_in_threads, range(CALLS), chunksize=1)),
}


def by_executor(context, set_up_with):
    pool = concurrent.futures.ProcessPoolExecutor(WORKERS, context, set_up, set_up_with)
    done = sum(future.result(60) for future in [pool.submit(update) for _ in range(CALLS)])
    for process in list(pool._processes.values()):
        process.kill()
    pool.shutdown(wait=True, cancel_futures=True)
    return done


def by_executor_map(context, set_up_with):
    pool = concurrent.futures.ProcessPoolExecutor(WORKERS, context, set_up, set_up_with)
    done = sum(pool.map(update, range(CALLS)))
    for process in list(pool._processes.values()):
        process.kill()
    pool.shutdown(wait=True, cancel_futures=True)
    return done


# --- single processes ---


def tell(set_up_with, send):
    set_up(*set_up_with)
    for _ in range(CALLS):
        update()
    send()
    time.sleep(3600)


def by_process(context, set_up_with, send, heard):
    process = context.Process(target=tell, args=(set_up_with, send), daemon=True)
    process.start()
    try:
        heard()
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    return CALLS


class Put:
    def __init__(self, method, *arguments):
        self.method, self.arguments = method, arguments

    def __call__(self):
        self.method(*self.arguments)


def by_queue(context, set_up_with, make):
    queue = make(context)
    return by_process(context, set_up_with, Put(queue_put, queue), queue.get)


def queue_put(queue):
    queue.put("done")


def by_pipe(context, set_up_with):
    reader, writer = context.Pipe(duplex=False)
    return by_process(context, set_up_with, Put(pipe_send, writer), reader.recv)


def pipe_send(writer):
    writer.send("done")


def by_pipe_bytes(context, set_up_with):
    reader, writer = context.Pipe(duplex=False)
    return by_process(context, set_up_with, Put(pipe_send_bytes, writer), reader.recv_bytes)


def pipe_send_bytes(writer):
    writer.send_bytes(b"")


def by_event(context, set_up_with):
    event = context.Event()
    return by_process(context, set_up_with, Put(event_set, event), event.wait)


def event_set(event):
    event.set()


def by_condition(context, set_up_with):
    condition = context.Condition()
    with condition:
        return by_process(context, set_up_with, Put(notify, condition), condition.wait)


def notify(condition):
    with condition:
        condition.notify_all()


def by_manager(context, set_up_with):
    with context.Manager() as manager:
        shared = manager.list()

        def heard():
            until = time.monotonic() + 60
            while not shared:
                assert time.monotonic() < until
                time.sleep(0.001)

        return by_process(context, set_up_with, Put(append, shared), heard)


def append(shared):
    shared.append("done")


WAYS = {
    **{f"Pool: {name}": (lambda context, with_, call=call: by_pool(context, with_, call))
       for name, call in CALLS_OF_A_POOL.items()},
    "Executor: submit": by_executor,
    "Executor: map": by_executor_map,
    "Queue": lambda context, with_: by_queue(context, with_, lambda context: context.Queue()),
    "JoinableQueue": lambda context, with_: by_queue(context, with_, lambda context: context.JoinableQueue()),
    "SimpleQueue": lambda context, with_: by_queue(context, with_, lambda context: context.SimpleQueue()),
    "Pipe": by_pipe,
    "Pipe: bytes": by_pipe_bytes,
    "Event": by_event,
    "Condition": by_condition,
    "Manager": by_manager,
    "billiard: Pipe": lambda _, with_: by_pipe(billiard.get_context("fork"), with_),
    "billiard: Queue": lambda _, with_: by_queue(billiard.get_context("fork"), with_, lambda context: context.Queue()),
}  # fmt: skip


def returned(way, start, name, broken=False):
    """How many updates the calls made that had returned."""
    return WAYS[way](multiprocessing.get_context(start), (name, broken))


def update_and_lose(names):
    """Write under two locks, and have both leases ended by hand before the call returns."""
    other = redis.Redis.from_url(os.environ["REDIS_URL"])
    for name in names:
        value = interlock.Value("q", 0, name=name, lock=interlock.RLock(name=name, linger=10))
        breaker = interlock.RLock(name=name, client=other)
        breaker.locked()  # its session is ready: the lease ends before the update is committed
        with value.get_lock():
            value.value += 1
        kept.append(value)
        breaker.break_lock()
    return 1


kept = []


def send_from_a_signal_handler(name, writer, sends):
    """A handler sends while the main thread is amid a commit; say so when it has, often."""
    set_up(name)
    sent = itertools.count(1)
    told = 0

    def handle(*_):
        nonlocal told
        writer.send(told := next(sent))

    signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
    while told < sends:
        update()
        interlock.flush()
    signal.setitimer(signal.ITIMER_REAL, 0)
    writer.send("done")
