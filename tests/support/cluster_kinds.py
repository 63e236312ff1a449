"""Every kind of primitive, used by two sessions: contention, and a hand-over."""

from concurrent.futures import ThreadPoolExecutor

from peers import wait_until

import interlock


def meanwhile(function):
    """Its result, to come: another thread calls it."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(function)
    pool.shutdown(wait=False)
    return future


def waits(thing, n=1):
    wait_until(lambda: len(thing.statistics().waiters) == n, what=f"{n} in the queue")


def exclusion(first, second):
    def enter():
        with second:
            return getattr(second, "token", None)

    with first:
        token = getattr(first, "token", None)
        entered = meanwhile(enter)
        waits(second)
    assert entered.result(10) is None or entered.result() > token


def rwlock(name, a, b):
    one, other = interlock.RWLock(name=name, client=a), interlock.RWLock(name=name, client=b)
    exclusion(one.writer, other.reader)
    exclusion(one.reader, other.writer)


def condition(name, a, b):
    one, other = interlock.Condition(name=name, client=a), interlock.Condition(name=name, client=b)

    def wait():
        with other:
            return other.wait(10)

    notified = meanwhile(wait)
    waits(one)
    with one:
        one.notify()
    assert notified.result(10)


def event(name, a, b):
    one, other = interlock.Event(name=name, client=a), interlock.Event(name=name, client=b)
    seen = meanwhile(lambda: other.wait(10))
    wait_until(lambda: any(each.waiters for each in interlock.inspect(a)))
    one.set()
    assert seen.result(10)
    one.unlink()


def barrier(name, a, b):
    one, other = interlock.Barrier(2, name=name, client=a), interlock.Barrier(2, name=name, client=b)
    index = meanwhile(lambda: other.wait(10))
    assert {one.wait(10), index.result(10)} == {0, 1}
    one.unlink()


def value(name, a, b):
    lock = interlock.Lock(name=name, client=a)
    one = interlock.Value("q", 0, name=f"{name}-v", client=a, lock=lock)
    second = interlock.Value("q", 0, name=f"{name}-w", client=a, lock=lock)
    theirs = interlock.Lock(name=name, client=b)
    other = interlock.Value("q", 0, name=f"{name}-v", client=b, lock=theirs)

    def count(each):
        for _ in range(20):
            with each.get_lock():
                each.value += 1

    done = meanwhile(lambda: count(other))
    count(one)
    done.result(10)
    with lock:  # values that share a lock commit together
        one.value, second.value = 41, 42
    interlock.flush()  # by now it lingers
    assert (other.value, second.value) == (41, 42)
    one.unlink()
    second.unlink()


def array(name, a, b):
    one = interlock.Array("i", [1, 2, 3], name=name, client=a)
    other = interlock.Array("i", 3, name=name, client=b)
    with other.get_lock():
        other[1] = 7
        done = meanwhile(lambda: one.get_lock().acquire(timeout=10) and one.get_lock().release())
        waits(one.get_lock())
    done.result(10)
    assert one[:] == [1, 7, 3]
    one.unlink()


def raw(name, a, b):
    one = interlock.RawValue("i", 5, name=name, client=a)
    elements = interlock.RawArray("i", [1, 2], name=f"{name}-array", client=a)
    assert interlock.RawValue("i", name=name, client=b).exchange(6) == 5
    assert one.value == 6
    assert elements[:] == [1, 2]
    one.unlink()
    elements.unlink()


def queue(kind):
    def pass_items(name, a, b):
        one, other = kind(name=name, client=a), kind(name=name, client=b)
        got = meanwhile(other.get)
        wait_until(lambda: any(each.waiters for each in interlock.inspect(a)))
        one.put("first")
        assert got.result(10) == "first"
        one.put({"second": 2})
        assert other.get() == {"second": 2}
        if kind is interlock.JoinableQueue:
            other.task_done()
            other.task_done()
            one.join()
        if kind is not interlock.SimpleQueue:
            one.close()
        one.unlink()

    return pass_items


def pipe(name, a, b):
    left, right = interlock.Pipe(name=name, client=a)
    got = meanwhile(right.recv)
    left.send("there")
    assert got.result(10) == "there"
    right.send("back")
    assert left.poll(10)
    assert left.recv() == "back"
    left.close()
    right.close()


def lock_of(kind, *arguments):
    return lambda name, a, b: exclusion(kind(*arguments, name=name, client=a), kind(*arguments, name=name, client=b))


KINDS = {
    "Lock": lock_of(interlock.Lock),
    "RLock": lock_of(interlock.RLock),
    "Semaphore": lock_of(interlock.Semaphore, 1),
    "BoundedSemaphore": lock_of(interlock.BoundedSemaphore, 1),
    "RWLock": rwlock, "Condition": condition, "Event": event, "Barrier": barrier,
    "Value": value, "Array": array, "raw": raw, "Pipe": pipe,
    "Queue": queue(interlock.Queue),
    "JoinableQueue": queue(interlock.JoinableQueue),
    "SimpleQueue": queue(interlock.SimpleQueue),
}  # fmt: skip
