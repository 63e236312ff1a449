"""Several locks as one: in one order for everybody, all or none, whatever goes wrong in between."""

import asyncio
import itertools
import os
import signal
import threading
import time

import pytest
from peers import hold, peers, plain, wait_until

import interlock
from interlock import (
    BoundedSemaphore,
    Condition,
    LeaseLostError,
    Lock,
    NotHeldError,
    RLock,
    RWLock,
    Semaphore,
    aio,
    all_of,
)
from interlock.multilock import MultiLock, Several

NAMES = ("b", "c", "a")


class AsGiven(MultiLock):
    """The broken twin: it takes the locks in the order in which they are given."""

    def __init__(self, locks, kinds):
        super().__init__(locks, kinds)
        self._in_order = list(locks)


def locks(names=NAMES, **options):
    return [Lock(name=name, **options) for name in names]


def test_takes_all_and_gives_all_back():
    three = locks(linger=0)
    both = all_of(*three)
    with both as entered:
        assert entered
        assert all(lock.locked() for lock in three)
        assert both.tokens == tuple(lock.token for lock in three)
        assert None not in both.tokens
    assert not any(lock.locked() for lock in three)
    assert both.tokens == (None, None, None)
    assert repr(both).startswith("all_of(<interlock.Lock 'b'")


def test_kinds_may_be_mixed():
    shared, slots = RWLock(name="shared"), Semaphore(2, name="slots", ttl=60)
    bounded, reentrant = BoundedSemaphore(1, name="bounded", ttl=60), RLock(name="reentrant")
    with reentrant, all_of(reentrant, shared.writer, slots, bounded) as entered:
        assert entered
        assert not bounded.acquire(blocking=False)
    assert bounded.acquire(blocking=False)
    bounded.release()


def go_round(kind, order, rounds):
    """Take the locks in this order, again and again; so long as nobody waits for ever."""
    together = kind(locks(order, lease=5.0), (Lock,))
    with plain() as note:
        for _ in range(rounds):
            assert together.acquire(timeout=20.0), "a circle of waiters"
            assert note.incr("inside") == 1
            note.decr("inside")
            together.release()


@pytest.mark.parametrize("kind", [MultiLock, AsGiven])
def test_opposite_orders_do_not_wait_for_each_other(kind):
    """Six processes, each with another order of three locks. The twin stands still until its timeouts are over."""
    orders = list(itertools.permutations(NAMES))
    rounds = 30
    with peers(go_round, [(kind, order, rounds) for order in orders]) as processes:
        for process in processes:
            process.join(120)
        codes = [process.exitcode for process in processes]
    assert (codes == [0] * len(orders)) == (kind is MultiLock)


@pytest.mark.parametrize("how", [{"blocking": False}, {"timeout": 0.3}])
def test_if_one_is_taken_none_is_kept(how):
    three = locks(linger=0)
    with peers(hold, [(Lock(name="b"), "b")]), plain() as note:
        wait_until(lambda: note.llen("entered"), what="the other holder")
        together = all_of(*three)
        assert not together.acquire(**how)
        assert together.tokens == (None, None, None)
        assert [lock.locked() for lock in three] == [True, False, False]


def test_timeout_is_for_all_together():
    with peers(hold, [(Lock(name=name), name) for name in "ab"]), plain() as note:
        wait_until(lambda: note.llen("entered") == 2, what="the other holders")
        began = time.monotonic()
        assert not all_of(*locks()).acquire(timeout=0.5)
        assert 0.5 <= time.monotonic() - began < 20


def test_error_in_between_gives_back(monkeypatch):
    three = locks(linger=0)
    monkeypatch.setattr(three[1], "acquire", lambda **_: 1 / 0)  # "c", the last one in the order of names
    with pytest.raises(ZeroDivisionError):
        all_of(*three).acquire()
    assert not any(lock.locked() for lock in three)


def test_holder_that_is_killed_leaves_them_to_their_leases():
    with peers(hold, [(all_of(*locks(lease=2.0)), "all")]) as (process,), plain() as note:
        wait_until(lambda: note.llen("entered"), what="the holder")
        os.kill(process.pid, signal.SIGKILL)
        with all_of(*locks()) as entered:
            assert entered


def test_all_are_given_back_though_one_is_lost():
    first, second, third = three = locks(linger=0)
    together = all_of(*three)
    together.acquire()
    second.break_lock()
    with pytest.raises(LeaseLostError, match="'c'"):
        together.release()
    assert not first.locked()
    assert not third.locked()


def test_errors_of_a_release_stand_together():
    three = locks(linger=0)
    together = all_of(*three)
    together.acquire()
    for lock in three[:2]:
        lock.break_lock()
    with pytest.raises(LeaseLostError, match="'c'") as caught:
        together.release()
    assert ["'b'" in note for note in caught.value.__notes__] == [True]
    assert not three[2].locked()


def test_release_of_what_is_not_held_releases_nothing():
    lock, slots = Lock(name="lock", linger=0), Semaphore(1, name="slots", ttl=60)
    together = all_of(lock, slots)
    together.acquire()
    lock.release()
    with pytest.raises(NotHeldError, match=r"does not hold 'lock'; it released none of them$"):
        together.release()
    assert not slots.acquire(blocking=False)
    slots.release()


@pytest.mark.parametrize("ends", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_is_raised_when_all_are_given_back(monkeypatch, ends):
    three = locks(linger=0)
    together = all_of(*three)
    together.acquire()
    three[0].break_lock()

    def interrupted(release=three[1].release):
        release()
        raise ends

    monkeypatch.setattr(three[1], "release", interrupted)
    with pytest.raises(ends) as caught:
        together.release()
    assert len(caught.value.__notes__) == 1
    assert not any(lock.locked() for lock in three)


@pytest.mark.parametrize("module", [interlock, aio])
def test_wrong_use_is_one_line(module):
    with pytest.raises(ValueError, match=r"^all_of\(\) needs one lock at least$"):
        module.all_of()
    with pytest.raises(ValueError, match=r"^all_of\(\) got 'x' more than once: give each name once$"):
        module.all_of(module.Lock(name="x"), module.RLock(name="x"))
    for wrong in (Condition(), threading.Lock(), "x", None):
        with pytest.raises(TypeError, match=r"^all_of\(\) takes Lock, RLock, .*; not "):
            module.all_of(module.Lock(), wrong)
    shared = module.RWLock(name="shared")
    with pytest.raises(ValueError, match="more than once"):
        module.all_of(shared.reader, shared.writer)


def test_locks_of_the_other_module_are_refused():
    for module, other in ((interlock, aio), (aio, interlock)):
        with pytest.raises(TypeError, match="all of interlock or all of"):
            module.all_of(module.Lock(), other.Lock())


def test_coroutines_in_opposite_orders():
    inside = []

    async def go(order):
        together = aio.all_of(*(aio.Lock(name=name) for name in order))
        for _ in range(10):
            async with together:
                assert None not in together.tokens
                inside.append(order)
                await asyncio.sleep(0.001)
                assert inside.pop() == order
                assert not inside

    async def main():
        async with asyncio.timeout(60):
            await asyncio.gather(*map(go, itertools.permutations(NAMES)))

    asyncio.run(main())


def test_coroutine_that_is_cancelled_keeps_none():
    async def main():
        others = [aio.Lock(name=name) for name in "ab"]
        async with aio.Lock(name="c"):
            waits = asyncio.create_task(aio.all_of(*others, aio.Lock(name="c")).acquire())
            async with asyncio.timeout(60):
                while not all([await each.locked() for each in others]):
                    await asyncio.sleep(0.01)
            waits.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waits
            assert not any([await each.locked() for each in others])

    asyncio.run(main())


async def cancelled_again_and_again(task):
    """Cancel a task on each turn of the loop, until it has ended."""
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)


def test_coroutine_that_is_cancelled_while_it_releases_keeps_none():
    async def main():
        three = [aio.Lock(name=name) for name in NAMES]
        together = aio.all_of(*three)
        task = asyncio.create_task(entered(together))
        await asyncio.sleep(0)
        while None in together.tokens:
            await asyncio.sleep(0.01)
        await cancelled_again_and_again(task)
        assert task.cancelled()
        assert not any([await each.locked() for each in three])

    async def entered(together):
        async with together:
            await asyncio.sleep(60)

    asyncio.run(main())


def test_coroutine_that_is_cancelled_twice_while_it_acquires_keeps_none():
    async def main():
        others = [aio.Lock(name=name) for name in "ab"]
        last = aio.Lock(name="c")
        async with last:
            task = asyncio.create_task(aio.all_of(*others, aio.Lock(name="c")).acquire())
            while not all([await each.locked() for each in others]):
                await asyncio.sleep(0.01)
            await others[0].break_lock()
            await cancelled_again_and_again(task)
            assert task.cancelled(), "though it lost one of them"
            assert not any([await each.locked() for each in others])

    asyncio.run(main())


def test_wait_for_acquires_for_its_caller():
    async def main():
        together = aio.all_of(aio.RLock(name="x"), aio.RLock(name="y"))
        assert await asyncio.wait_for(together.acquire(), 30)
        assert await together.acquire(timeout=1), "they are reentrant"
        await asyncio.wait_for(together.release(), 30)
        await together.release()

    asyncio.run(main())


def test_public_methods_are_the_same_for_threads_and_coroutines():
    def public(kind):
        return {name for name in dir(kind) if not name.startswith("_")}

    assert public(MultiLock) == public(aio.MultiLock)
    assert issubclass(aio.MultiLock, Several)
