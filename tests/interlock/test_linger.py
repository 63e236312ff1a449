"""A lock that lingers: its process enters again without asking, and gives it back in time."""

import threading
import time

import pytest
import redis
from lingering import lock_of_its_own, no_look, scripts_called
from peers import wait_until

import interlock
from bench.harness.proxy import proxy
from interlock._holding import lingering_lock
from interlock._session.process import session

pytestmark = pytest.mark.usefixtures("nothing_lost_is_left_to_be_told")


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_who_enters_again_asks_nobody(client, kind):
    lock = getattr(interlock, kind)(linger=0.02)
    with lock:
        pass
    before = scripts_called(client)
    for _ in range(1000):
        with lock:
            pass
        assert lock.acquire()
        lock.release()
    assert scripts_called(client) - before < 20, "the heartbeat's, perhaps"


def test_strict_lock_asks_each_time(client):
    lock = interlock.Lock(linger=0)
    before = scripts_called(client)
    for _ in range(10):
        with lock:
            pass
    assert scripts_called(client) - before >= 20


def test_lock_that_is_used_now_and_then_is_strict():
    """By default: who takes it once has given it up, to all, when the release returns."""
    lock = interlock.Lock()
    other = lock_of_its_own(lock.name, linger=0)
    for _ in range(lingering_lock.OFTEN + 3):
        with lock:
            pass
        assert other.acquire(blocking=False)
        other.release()
        time.sleep(1.2 * lingering_lock.LOOK_IDLE)  # the time is what is tested


def test_lock_that_is_used_often_lingers(client):
    lock = interlock.Lock()
    before = scripts_called(client)
    for _ in range(100):
        with lock:
            pass
    assert scripts_called(client) - before < 100, "a strict one calls 200"


def test_lock_behind_a_slow_network_lingers_as_soon_as_somebody_comes_back(client):
    """There, a strict section would be nothing but waiting."""
    with proxy(client.connection_pool.connection_kwargs["port"], 0.01) as far:
        own = redis.Redis(port=far)
        lock = interlock.Lock(client=own)
        with lock:
            pass
        before = scripts_called(client)
        for _ in range(10):
            with lock:
                pass
        assert scripts_called(client) - before < 4
        session(own).close()


def test_lock_that_is_used_often_no_more_is_strict_again():
    lock = interlock.Lock()
    other = lock_of_its_own(lock.name, linger=0)
    for _ in range(20):
        with lock:
            pass
    wait_until(lambda: other.acquire(blocking=False), what="its end of lingering")
    other.release()
    time.sleep(2 * lingering_lock.LOOK_IDLE)  # the time is what is tested
    with lock:
        pass
    assert other.acquire(blocking=False)
    other.release()


def test_released_lock_is_held_by_nobody_here_and_lingers_for_others():
    lock = interlock.Lock(linger=0.02)
    with lock:
        assert lock.locked()
        token = lock.token
    assert not lock.locked()
    assert (lock.token, lock.deadline, lock.lost) == (None, None, False)
    assert lock.statistics().holders == ()
    with pytest.raises(interlock.NotHeldError):
        lock.release()
    with lock:
        assert lock.token > token


def test_idle_lock_is_given_back(client):
    lock = interlock.Lock(linger=0.02)
    with lock:
        pass
    wait_until(lambda: not interlock.Lock(name=lock.name, client=client).locked(), what="its return")


def test_other_process_that_asks_has_it_soon_though_it_is_used_all_the_time():
    lock, over = interlock.Lock(linger=0.05), threading.Event()

    def use():
        while not over.is_set():
            with lock:
                pass

    thread = threading.Thread(target=use)
    thread.start()
    other = lock_of_its_own(lock.name)
    try:
        for _ in range(5):
            assert other.acquire(timeout=15), "far less than the lease"
            other.release()
    finally:
        over.set()
        thread.join()


def test_lock_that_others_wait_for_from_the_start_is_given_back_as_soon_as_nobody_uses_it():
    """Though its linger time is not over."""
    first = interlock.Lock(linger=10, lease=120)
    second, third = (lock_of_its_own(first.name, linger=10, lease=120) for _ in range(2))
    threads, left = [], []

    def use(lock):
        with lock:
            pass
        left.append(time.monotonic())

    with first:
        for lock in (second, third):
            threads.append(threading.Thread(target=use, args=(lock,)))
            threads[-1].start()
            wait_until(lambda: len(first.statistics().waiters) == len(threads))
    for thread in threads:
        thread.join()
    assert left[1] - left[0] < 9, "10 s is how long it may linger"


def test_other_process_that_only_tries_has_it_in_the_end():
    """A failed try tells the holder: it gives the lock back though nobody is queued."""
    lock = interlock.Lock(linger=10)
    other = lock_of_its_own(lock.name)
    with lock:
        assert not other.acquire(blocking=False)
    wait_until(lambda: other.acquire(blocking=False), within=9, what="a try that succeeds")
    other.release()


def test_who_waits_for_one_that_is_inside_gets_it_at_its_release():
    lock = interlock.Lock(linger=0.02)
    other, entered = lock_of_its_own(lock.name), threading.Event()

    def wait():
        with other:
            entered.set()

    with lock:
        thread = threading.Thread(target=wait)
        thread.start()
        wait_until(lambda: len(lock.statistics().waiters) == 1)
        assert not entered.wait(0.1)
    assert entered.wait(5)
    thread.join()


@pytest.mark.parametrize("broken", [False, True])
def test_nobody_enters_with_less_than_a_third_of_the_lease_to_run(client, monkeypatch, broken):
    """The heartbeat is silent, as when one C call holds the interpreter: the next section asks first."""
    lock = interlock.Lock(lease=4.5, linger=0.02)
    lock.acquire()
    monkeypatch.setattr(session(None).heartbeat, "_beat", lambda: None)
    with no_look(monkeypatch):
        lock.release()
        lingering_lock = lock._lingering_lock
        if broken:
            lingering_lock.turns.good_until = float("inf")
        time.sleep(3.1)  # the time is what is tested
        before = scripts_called(client)
        with lock:
            asked = scripts_called(client) > before
    assert asked == (not broken)


def test_lock_with_a_short_lease_does_not_linger(client):
    lock = interlock.Lock(lease=0.5, linger=0.02)
    with lock:
        pass
    assert not interlock.Lock(name=lock.name, client=client).locked()


def test_broken_lock_is_noticed_though_it_lingers():
    lock = interlock.Lock(linger=0.02)
    other = lock_of_its_own(lock.name)
    lock.acquire()
    assert other.break_lock()
    with other, pytest.raises(interlock.LeaseLostError):
        lock.release()
    with lock:
        assert lock.token


def test_threads_take_turns_and_exclude_each_other():
    lock, inside, most, entered = interlock.RLock(linger=0.02), 0, 0, [0] * 6

    def use(number):
        nonlocal inside, most
        for _ in range(300):
            with lock, lock:
                inside += 1
                most = max(most, inside)
                entered[number] += 1
                inside -= 1

    threads = [threading.Thread(target=use, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert entered == [300] * 6
    assert most == 1


def test_thread_that_waits_for_its_turn_gives_up_in_time():
    lock = interlock.Lock(linger=0.02)
    with lock:
        thread = threading.Thread(target=lambda: results.append((lock.acquire(timeout=0.1), lock.acquire(False))))
        results = []
        thread.start()
        thread.join(10)
        assert results == [(False, False)]
    assert lock.acquire(timeout=5)
    lock.release()


def test_any_thread_of_the_process_may_release_a_lock():
    lock = interlock.Lock(linger=0.02)
    lock.acquire()
    thread = threading.Thread(target=lock.release)
    thread.start()
    thread.join()
    assert not lock.locked()


def test_two_hundred_threads_of_a_process_enter_one_after_the_other():
    lock, entered = interlock.Lock(linger=0.02), []

    def enter():
        with lock:
            entered.append(1)

    with lock:
        threads = [threading.Thread(target=enter) for _ in range(200)]
        for thread in threads:
            thread.start()
    for thread in threads:
        thread.join(30)
    assert len(entered) == 200


def test_waiter_for_a_condition_of_a_lock_that_lingers_is_woken(client):
    condition = interlock.Condition(linger=0.02)
    value = interlock.Value("i", 0, lock=condition._lock)

    def cook():
        with condition:
            value.value += 1
            condition.notify()

    with condition:
        with condition:
            pass
        thread = threading.Thread(target=cook)
        thread.start()
        assert condition.wait_for(lambda: value.value > 0, timeout=10)
    thread.join()
    assert not condition._lock.locked()
    assert value.value == 1


@pytest.mark.parametrize("linger", [-1, float("nan"), float("inf"), 11])
def test_wrong_linger_is_one_line(linger):
    with pytest.raises(ValueError, match="linger must be 0 to 10 seconds"):
        interlock.Lock(linger=linger)
