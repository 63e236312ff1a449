"""A program that is interrupted everywhere: at each line of interlock's, once, a handler makes calls of its own.

Started by test_reentry.py, one process a handler; prints what it counted as JSON. A watchdog ends it with a dump of
all threads if it hangs. The trace function stands for a signal handler, or for a finalizer that the garbage collector
runs: Python runs either between two steps of whatever a thread is doing.
"""

import contextlib
import faulthandler
import gc
import itertools
import json
import os
import random
import signal
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path

import redis
from peers import wait_until

import interlock

OURS = str(Path(interlock.__file__).parent)
# After their look nothing is called and nothing is allocated: there, Python runs neither handlers nor finalizers.
FAST_PATHS = {("lock.py", "__enter__"), ("lock.py", "__exit__"), ("value.py", "value")}

counted = defaultdict(list)  # `append` is one step to all threads and handlers
seen = set()


class Handlers:
    """What interrupts: each a call that `threading` survives in a handler."""

    def __init__(self, lock):
        self.same = lock
        self.other = interlock.Lock(linger=0)
        self.event, self.total, self.queue = interlock.Event(), interlock.Value("q", 0), interlock.Queue()
        self.permits = interlock.Semaphore(0, ttl=60)
        self.held = []

    def acquire(self):
        for lock in (self.same, self.other):
            if lock.acquire(False):
                counted["acquired"].append(1)
                lock.release()

    def release(self):
        if self.held:
            self.held.pop().release()
        lock = interlock.Lock(linger=0)
        if lock.acquire(blocking=False):
            self.held.append(lock)

    def set(self):
        self.event.set()
        counted["set"].append(1)

    def add(self):
        self.total.add(1)
        counted["added"].append(1)

    def permit(self):
        self.permits.release()
        counted["permits"].append(1)

    def put(self):
        self.queue.put_nowait(1)
        counted["put"].append(1)

    def wait(self):
        """What would wait for its own thread raises at once; elsewhere it waits."""
        if self.other.acquire(timeout=0.01):
            self.other.release()


def interrupt(handler):
    try:
        handler()
    except interlock.ReentryError:
        counted["refused"].append(1)
    except Exception as error:
        counted[f"{type(error).__name__}: {error}"].append(1)


def tracer(handler):
    def trace(frame, event, _):
        code = frame.f_code
        if not code.co_filename.startswith(OURS) or (Path(code.co_filename).name, code.co_name) in FAST_PATHS:
            return None
        where = threading.current_thread().name.rstrip("0123456789"), code.co_filename, frame.f_lineno
        if event == "line" and where not in seen:
            seen.add(where)
            counted[where[0]].append(1)
            interrupt(handler)
        return trace

    return trace


def work(lock, value, stranger, rounds):
    """Every way through the bookkeeping: enter, queue, be asked, commit, give back, wait for a condition."""
    condition = interlock.Condition(lock)
    strict, nested = interlock.RLock(linger=0), interlock.RLock(linger=10)
    permits, queue, event = interlock.Semaphore(2), interlock.Queue(), interlock.Event()
    for number in range(rounds):
        with lock:
            value.value += 1
        interlock.flush()
        with strict, strict, nested, nested:
            pass
        with permits, condition:
            value.value += 1
            condition.notify()
        queue.put(number)
        queue.get()
        event.set()
        value.add(1)
        value.get_lock().acquire(timeout=10)
        value.get_lock().release()
        if number % 2:
            with stranger:  # another session: the lock is given back to it
                pass
        with lock:
            condition.wait(0.001)


def crowd(lock, value, handler, rounds, threads):
    """Threads that compete for one lock, all interrupted."""
    other = redis.Redis.from_url(os.environ["REDIS_URL"], socket_timeout=7)
    stranger = interlock.Lock(name=lock.name, client=other)
    if handler is not None:
        threading.settrace(tracer(handler))
        sys.settrace(tracer(handler))
    started = [
        threading.Thread(target=work, args=(lock, value, stranger, rounds), name="crowd") for _ in range(threads)
    ]
    for thread in started:
        thread.start()
    work(lock, value, stranger, rounds)
    for thread in started:
        thread.join()
    sys.settrace(None)
    threading.settrace(None)
    return rounds * (threads + 1) * 3


def leases_are_renewed():
    """The heartbeat and the listener live, whatever interrupted them."""
    lock = interlock.Lock(lease=0.6, linger=0)
    lock.acquire()
    first = lock.deadline
    wait_until(lambda: lock.deadline > first + 0.5, within=10, what="the renewals")
    waiter = threading.Thread(target=lock.acquire)
    waiter.start()
    wait_until(lambda: lock.statistics().waiters)
    lock.release()
    waiter.join(10)
    assert not waiter.is_alive()
    lock.release()


def check(handlers, value, expected):
    leases_are_renewed()
    assert value.value == expected, (value.value, expected)
    wait_until(lambda: handlers.total.value == len(counted["added"]), what="what was added")
    wait_until(lambda: handlers.queue.qsize() == len(counted["put"]), what="what was put")
    assert not counted["set"] or wait_until(handlers.event.is_set)
    for _ in counted["permits"]:
        assert handlers.permits.acquire(timeout=10)
    assert not handlers.permits.acquire(False)
    for lock in handlers.held:
        lock.release()
    for lock in (handlers.same, handlers.other):
        wait_until(lambda lock=lock: not lock.locked(), what="the end of what was held")


def everywhere(name):
    """At each line once, in the main thread, in threads that compete, in the heartbeat and in the listener."""
    lock = interlock.Lock(linger=0.01)
    value = interlock.Value("q", 0, lock=lock)
    handlers = Handlers(lock)
    check(handlers, value, crowd(lock, value, getattr(handlers, name), 4, 2))
    value.unlink()
    handlers.total.unlink()


def signals(seed):
    """Signals at random moments."""
    lock = interlock.Lock(linger=0.01)
    value = interlock.Value("q", 0, lock=lock)
    handlers = Handlers(lock)
    calls = [handlers.acquire, handlers.release, handlers.set, handlers.add, handlers.permit, handlers.put]
    chance = random.Random(int(seed))

    def on_signal(*_):
        counted["signals"].append(1)
        interrupt(chance.choice(calls))
        if len(counted["signals"]) < 1500:
            signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.0001, 0.002))

    signal.signal(signal.SIGALRM, on_signal)
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    expected = 0
    while len(counted["signals"]) < 1500:
        expected += crowd(lock, value, None, 4, 1)
    check(handlers, value, expected)
    value.unlink()
    handlers.total.unlink()


class Dropped:
    """In a cycle of references: the garbage collector finalizes it, in whatever thread allocates then."""

    def __init__(self, call):
        self.call, self.me = call, self

    def __del__(self):
        counted[threading.current_thread().name.rstrip("0123456789")].append(1)
        interrupt(self.call)


def finalizers(_):
    """The collector runs at almost each allocation, in every thread, also amid the heartbeat."""
    lock = interlock.Lock(linger=0.01)
    value = interlock.Value("q", 0, lock=lock)
    handlers = Handlers(lock)
    calls = [handlers.acquire, handlers.release, handlers.set, handlers.add, handlers.permit, handlers.put]
    ended, made = time.monotonic() + 2, 0
    expected = 0
    beat = [interlock.Lock(lease=1.0, linger=0) for _ in range(30)]  # so that the heartbeat has much to do
    for each in beat:
        each.acquire()

    def litter():
        nonlocal made
        while time.monotonic() < ended:
            Dropped(calls[made % len(calls)])
            made += 1
            time.sleep(0.001)

    real, turn = interlock._session.heartbeat.beat, itertools.cycle(calls)

    def beat_amid_a_collection(*arguments):
        if threading.current_thread().name == "interlock-heartbeat":
            Dropped(next(turn))
            gc.collect()
        return real(*arguments)

    interlock._session.heartbeat.beat = beat_amid_a_collection
    littering = threading.Thread(target=litter, name="litter")
    gc.set_threshold(3)
    littering.start()
    while time.monotonic() < ended or not counted["interlock-heartbeat"]:
        expected += crowd(lock, value, None, 2, 1)
    littering.join()
    interlock._session.heartbeat.beat = real
    gc.set_threshold(700)
    gc.collect()
    for each in beat:
        with contextlib.suppress(interlock.LeaseLostError):  # on a machine that stood still
            each.release()
    check(handlers, value, expected)
    value.unlink()
    handlers.total.unlink()


class Unowned:
    """The mutex of a twin: a `threading.Lock`, which does not know its owner; `threading.Condition` wants to know."""

    def __init__(self):
        self._lock = threading.Lock()
        self.acquire, self.release = self._lock.acquire, self._lock.release

    def __enter__(self):
        self._lock.acquire()

    def __exit__(self, *_):
        self._lock.release()

    def _is_owned(self):
        return sys._getframe(1).f_globals["__name__"] == "threading" and self._lock.locked()


def break_it(twin):
    """Interlock as it was before a handler could interrupt it."""
    if twin == "mutex without an owner":
        interlock._holding.mutex._this_process.lock = Unowned()
    elif twin == "who is interrupted is waited for":
        interlock._holding.lingering_lock.Asker.interrupted_by = lambda *_: False


if __name__ == "__main__":
    faulthandler.dump_traceback_later(float(os.environ.get("INTERRUPTIONS_WITHIN", "45")), exit=True)
    program, argument, twin = sys.argv[1:]
    break_it(twin)
    {"everywhere": everywhere, "signals": signals, "finalizers": finalizers}[program](argument)
    faulthandler.cancel_dump_traceback_later()
    with contextlib.suppress(interlock.InterlockError):
        interlock.close()
    print(json.dumps({key: len(each) for key, each in counted.items()}))
