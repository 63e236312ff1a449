"""Threads of one process pass a lock that lingers among themselves: who keeps the bias, and who takes it away."""

import os
import random
import signal
import threading
import time
from contextlib import contextmanager, suppress

import pytest
import redis
from mutants.guards import without
from peers import wait_until
from switching import called, switching

import interlock
from interlock._holding import turns
from interlock._holding.lingering import Lingering
from interlock._holding.local_values import LocalValues
from interlock._holding.turns import NOBODY, Bias, Turns
from interlock.lock import _BaseLock

HANDSHAKE = {  # name: (class, method, what stands there, what the twin has)
    "enters_without_a_look": (_BaseLock, "__enter__", "< bias.good_until", "< float('inf')"),
    "takes_the_bias_of_who_enters": (Turns, "_freed", "if bias_holder.taken and not amid:", "if False:"),
    "never_asks_who_is_inside": (Turns, "take_turn", "if not mine and monotonic() >=", "if False and monotonic() >="),
    "ends_turns_of_who_arrives": (Turns, "end_orphaned", " and self.turn not in self.arriving", ""),
    "ends_the_turn_of_who_came_back": (Turns, "end_turn", "and self.bias_holder is bias ", ""),
    "loses_its_own_section": (Lingering, "acquire", "if not entered and not inside:", "if not entered:"),
}


def broken(twin):
    """The method without one of its guards; None: as it is."""
    return without(HANDSHAKE, twin)


@contextmanager
def switching_anywhere():
    """And also where today's interpreter does not let them: at what the handshake reads and writes."""
    with switching(), pytest.MonkeyPatch.context() as patch:
        for name in ("taken", "inside", "entered", "good_until"):
            patch.setattr(Bias, name, called(vars(Bias)[name]))
        withdraw = Turns._withdraw

        def withdraw_late(turns):
            time.sleep(random.choice((0, 1e-4)))  # others run
            withdraw(turns)

        patch.setattr(Turns, "_withdraw", withdraw_late)
        yield


class Crowd:
    """Threads that count, each under the lock, in two steps between which others may come."""

    def __init__(self, lock):
        self.lock, self.counted, self.entered = lock, 0, 0
        self.over = threading.Event()
        self.failed = []

    def section(self):
        before = self.counted
        self.counted = plus_one(before)

    def use(self):
        """As a thread does: many short sections."""
        entered = 0
        while not self.over.is_set():
            for _ in range(50):
                with self.lock:
                    self.section()
                entered += 1
        with self.lock:
            self.entered += entered

    def take(self):
        """As the heartbeat does: it takes the turn for a moment from who is outside."""
        entered, its_turns = 0, self.lock._lingering_lock.turns
        while not self.over.is_set():
            if its_turns.take(Turns.HEARTBEAT):
                self.section()
                entered += 1
                its_turns.end_turn(Turns.HEARTBEAT)
        with self.lock:
            self.entered += entered

    def run(self, bodies, seconds):
        """Whether the count is exact."""
        with self.lock:
            pass
        threads = [threading.Thread(target=self.noting, args=(body,), daemon=True) for body in bodies]
        for thread in threads:
            thread.start()
        self.over.wait(seconds)
        self.over.set()
        for thread in threads:
            thread.join(20)
        return not self.failed and self.counted == self.entered > 0

    def noting(self, body):
        try:
            body()
        except BaseException as error:  # of a twin
            self.over.set()
            self.failed.append(error)


def plus_one(number):
    return number + 1


@pytest.mark.parametrize("twin", [None, "enters_without_a_look", "takes_the_bias_of_who_enters"])
def test_threads_that_take_each_others_bias_exclude_each_other(twin):
    crowd = Crowd(interlock.Lock(linger=None))
    with switching_anywhere(), broken(twin):
        exact = crowd.run([crowd.use] * 4, 3)
    assert exact == (twin is None)


@pytest.mark.parametrize("twin", [None, "enters_without_a_look", "takes_the_bias_of_who_enters"])
def test_heartbeat_that_takes_the_bias_away_excludes_who_enters(twin):
    crowd = Crowd(interlock.Lock(linger=None))
    with switching_anywhere(), broken(twin):
        exact = crowd.run([crowd.use, crowd.take], 3)
    assert exact == (twin is None)


def test_threads_exclude_each_other_without_bias(monkeypatch):
    """As on a build of Python without the interpreter's lock."""
    monkeypatch.setattr(turns, "BIASED", False)
    crowd = Crowd(interlock.RLock(linger=None))
    with switching_anywhere():
        assert crowd.run([crowd.use] * 4, 1)
    assert crowd.lock._lingering_lock.turns.bias_holder.good_until == 0.0


def test_who_enters_again_keeps_its_bias():
    for kind in (interlock.Lock, interlock.RLock):
        lock = kind(linger=10)
        with lock:
            bias = lock._lingering_lock.turns.bias_holder
            assert bias.inside is bias.mark
        with lock:
            pass
        assert lock._lingering_lock.turns.bias_holder is bias
        assert bias.inside is NOBODY


def test_nested_sections_leave_the_bias_to_their_thread():
    lock = interlock.RLock(linger=10)
    with lock:
        bias = lock._lingering_lock.turns.bias_holder
        assert bias.good_until
        with lock:
            assert not bias.good_until
        assert bias.good_until
    assert lock._lingering_lock.turns.bias_holder is bias


@pytest.mark.parametrize("ended", [True, False])
def test_thread_that_keeps_the_turn_outside_is_in_nobodys_way(ended):
    """Whether it lives, and does something else, or not."""
    lock, go = interlock.Lock(linger=10), threading.Event()

    def use():
        with lock:
            pass
        go.wait(0 if ended else 30)

    thread = threading.Thread(target=use)
    thread.start()
    wait_until(lambda: lock._turns and lock._turns.bias_holder.thread == thread.ident and not lock.locked())
    if ended:
        thread.join()
    assert lock.acquire(blocking=False)
    lock.release()
    go.set()
    thread.join()


@pytest.mark.parametrize("twin", [None, "never_asks_who_is_inside"])
def test_thread_that_waits_has_its_turn_though_another_is_inside_nearly_all_the_time(twin):
    lock, over = interlock.Lock(linger=10), threading.Event()

    def use():
        while not over.is_set():
            with lock:
                over.wait(0.01)

    thread = threading.Thread(target=use)
    with broken(twin):
        thread.start()
        wait_until(lambda: lock._turns and lock._turns.thread)
        served = []
        for _ in range(4):
            served.append(lock.acquire(timeout=30 if twin is None else 1))
            if served[-1]:
                lock.release()
        over.set()
        thread.join()
    assert all(served) == (twin is None)


@pytest.mark.parametrize("twin", [None, "ends_turns_of_who_arrives"])
def test_thread_that_is_slow_to_enter_is_no_orphan(monkeypatch, twin):
    """It has the turn, and waits for the interpreter or for Redis, longer than two looks of the heartbeat."""
    lock, inside, most = interlock.Lock(linger=10), [], []
    with lock:
        pass
    enter = Turns.enter

    def enter_late(its_turns):
        time.sleep(0.3)  # its slowness is what is tested
        enter(its_turns)

    def use():
        assert lock.acquire(timeout=20)
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.3)
        inside.pop()
        with suppress(interlock.InterlockError):
            lock.release()

    monkeypatch.setattr(Turns, "enter", enter_late)
    with broken(twin):
        threads = [threading.Thread(target=use) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert (most == [1, 1]) == (twin is None)


@pytest.mark.parametrize("twin", [None, "ends_the_turn_of_who_came_back"])
def test_who_takes_a_lock_again_that_another_thread_releases_is_alone(monkeypatch, twin):
    """The other one has let it go, and not ended its turn yet."""
    lock, inside, overlaps = interlock.Lock(linger=10), threading.Event(), []
    first, released, again, entering = (threading.Event() for _ in range(4))
    with lock:
        its_turns = lock._lingering_lock.turns
    mutex, enter = its_turns._mutex, Turns.enter

    class Late:
        def __enter__(self):
            if threading.current_thread().name == "releases" and not released.is_set():
                released.set()
                entering.wait(10)
            mutex.acquire()

        def __exit__(self, *_):
            mutex.release()

        def _is_owned(self):
            return mutex._is_owned()

    def enter_late(its_turns):
        if threading.current_thread().name == "comes back" and first.is_set():
            entering.set()
            again.wait(1)
        enter(its_turns)

    def come_back():
        lock.acquire()
        first.set()
        released.wait(10)
        lock.acquire()
        overlaps.append(inside.is_set())
        with suppress(interlock.NotHeldError):  # of the twin
            lock.release()

    def release():
        first.wait(10)
        lock.release()

    def come_third():
        with suppress(interlock.NotHeldError), lock:
            inside.set()
            again.set()
            time.sleep(0.3)  # that another may come meanwhile is what is tested
            inside.clear()

    its_turns._mutex = Late()
    monkeypatch.setattr(Turns, "enter", enter_late)
    with broken(twin):
        threads = [
            threading.Thread(target=body, name=name, daemon=True)
            for name, body in (("comes back", come_back), ("releases", release), ("comes third", come_third))
        ]
        for thread in threads[:2]:
            thread.start()
        threads[1].join(15)
        threads[2].start()
        for thread in threads:
            thread.join(15)
    assert overlaps == [twin is not None]


def test_release_that_is_interrupted_is_made_by_the_heartbeat(monkeypatch):
    """Also if the lingering lock was about to let its hold go."""
    lock = interlock.Lock(linger=10)
    other = interlock.Lock(name=lock.name, client=redis.Redis.from_url(os.environ["REDIS_URL"]))
    lock.acquire()
    waiter = threading.Thread(target=other.acquire)
    waiter.start()
    wait_until(lambda: lock._lingering_lock.asked)
    lock._lingering_lock.linger_until = 0.0
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(LocalValues, "wanted", lambda _: strike(0, None))
        lock.release()
    waiter.join(10)
    assert not waiter.is_alive()
    other.release()


@contextmanager
def handler(function):
    before = signal.signal(signal.SIGALRM, function)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def strike(number, frame):
    raise KeyboardInterrupt


@pytest.mark.parametrize("twin", [None, "loses_its_own_section"])
def test_who_asks_again_and_is_interrupted_keeps_its_section(twin):
    lock, others = interlock.Lock(linger=10), []
    with broken(twin), handler(strike):
        lock.acquire()
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt):
            lock.acquire(timeout=10)
        thread = threading.Thread(target=lambda: others.append(lock.acquire(timeout=2)))
        thread.start()
        thread.join()
        assert others == [twin is not None]
    lock.release()


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_exceptions_of_signal_handlers_leave_the_lock_usable(kind):
    """They strike anywhere in fast sections, while another thread takes the bias away."""
    lock, here, overlaps, over, struck = getattr(interlock, kind)(linger=0.02), [0], [], threading.Event(), 0
    other = [0]

    def section(me):
        here[0] = me
        plus_one(0)
        if here[0] != me:
            overlaps.append(me)

    def use():
        while not over.is_set():
            with lock:
                section("thread")
                other[0] += 1
            over.wait(0.001)

    thread = threading.Thread(target=use)
    thread.start()
    until = time.monotonic() + 3
    with handler(strike), switching():
        while time.monotonic() < until:
            with suppress(KeyboardInterrupt):
                signal.setitimer(signal.ITIMER_REAL, random.uniform(20e-6, 500e-6))
                for _ in range(2000):
                    with lock:
                        section("main")
                struck -= 1
            signal.setitimer(signal.ITIMER_REAL, 0)
            struck += 1
            while lock._mine() is not None:  # as after any such exception: it may have struck before the release began
                lock.release()
    count = other[0]
    wait_until(lambda: other[0] > count, what="the other thread's next section")
    over.set()
    thread.join()
    assert not overlaps
    assert struck > 100
    assert lock.acquire(timeout=5)
    lock.release()
    stranger = type(lock)(name=lock.name, client=redis.Redis.from_url(os.environ["REDIS_URL"]))
    assert stranger.acquire(timeout=5)
    stranger.release()
