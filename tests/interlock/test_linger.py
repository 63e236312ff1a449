"""A lock that lingers: its process enters again without asking, and gives it back in time."""

import os
import signal
import threading
import time
from contextlib import contextmanager, suppress

import pytest
import redis
import twins
from peers import joined, peers, plain, wait_until

import interlock
from bench.harness.proxy import proxy
from interlock._holding import lingering_lock
from interlock._holding.lingering_lock import LingeringLock
from interlock._protocol import scripts
from interlock._session.process import session


@pytest.fixture(autouse=True)
def nothing_lost_is_left_to_be_told():
    yield
    for _ in range(5):
        with suppress(interlock.InterlockError):
            interlock.flush()
            return


def lock_of_its_own(name, **options):
    """Of another session: another process, as far as the lock can tell."""
    return interlock.Lock(name=name, client=redis.Redis.from_url(os.environ["REDIS_URL"]), **options)


def scripts_called(client):
    return int(client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"])


@contextmanager
def no_look(monkeypatch):
    """The heartbeat leaves what lingers alone."""
    with monkeypatch.context() as patch:
        patch.setattr(LingeringLock, "over", lambda self: self.returning is not None)
        patch.setattr(LingeringLock, "uncommitted", lambda _: False)
        yield


# --- entering again ---


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
            lingering_lock.good_until = float("inf")
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


# --- between processes ---


def count(value, times, step):
    for _ in range(times):
        with value.get_lock():
            value.value += step


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_counter_of_many_processes_is_exact(start):
    value = interlock.Value("i", 0, linger=None)
    with peers(count, [(value, 20_000, step) for step in (1, -1, 3)], start=start) as processes:
        joined(processes)
    assert value.value == 60_000


@pytest.mark.parametrize("twin", [None, "grants_though_held"])
def test_counter_is_not_exact_when_two_hold(twin):
    value = interlock.Value("i", 0, linger=None)
    with peers(count_and_say, [(value, 60_000)] * 3, twin) as processes:
        for process in processes:
            process.join(60)
    exact = value.value == 180_000 and all(process.exitcode == 0 for process in processes)
    assert exact == (twin is None)


def count_and_say(value, times):
    with plain() as note:
        note.incr("ready")
        wait_until(lambda: int(note.get("ready")) == 3)
    count(value, times, 1)


def note_tokens(lock, times):
    tokens = []
    for _ in range(times):
        with lock:
            tokens.append(lock.token)
    with plain() as note:
        note.rpush("tokens", *tokens)


def test_tokens_of_all_entries_of_all_processes_differ_and_grow_within_each(client):
    lock = interlock.Lock(linger=0.02)
    with peers(note_tokens, [(lock, 3000)] * 3) as processes:
        joined(processes)
    tokens = [int(token) for token in client.lrange("tokens", 0, -1)]
    assert len(set(tokens)) == 9000
    for first in range(0, 9000, 3000):
        mine = tokens[first : first + 3000]
        assert mine == sorted(mine)


def test_clock_of_the_tokens_does_not_run_away(client):
    """Each grant reserves a block of tokens; what is not used of it is given back."""
    lock = interlock.Lock(linger=0.02)
    other = lock_of_its_own(lock.name, linger=0.02)
    for _ in range(10):
        for each in (lock, other):
            with each:
                token = each.token
    seconds, microseconds = client.time()
    assert token < seconds * 1_000_000 + microseconds + 1_000_000


def hold_and_be_forked(lock):
    with lock:
        pass
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        taken = lock.acquire(timeout=20)
        os.write(write, b"1" if taken else b"0")
        lock.release()
        interlock.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 1) == b"1"


def test_child_of_a_process_that_lingers_gets_the_lock_by_asking():
    lock = interlock.Lock(linger=0.02)
    with peers(hold_and_be_forked, [(lock,)]) as processes:
        joined(processes)


def linger_and_die(lock):
    with lock:
        pass
    with plain() as note:
        note.rpush("entered", 1)
    os.kill(os.getpid(), signal.SIGKILL)


def test_process_that_is_killed_while_it_lingers_costs_a_lease(client):
    lock = interlock.Lock(lease=1.5, linger=0.02)
    with peers(linger_and_die, [(lock,)]) as (process,):
        process.join(30)
        assert lock.acquire(timeout=10)
        lock.release()


def linger_to_the_end(value):
    with value.get_lock():
        value.value += 1


def test_process_that_ends_in_order_has_committed_and_given_back(client):
    value = interlock.Value("i", 0, linger=10)
    with peers(linger_to_the_end, [(value,)]) as processes:
        joined(processes)
        assert value.value == 1
        assert interlock.RLock(name=value.name, client=client).acquire(timeout=1)


def linger_with_a_client_that_is_collected(name):
    client = redis.Redis.from_url(os.environ["REDIS_URL"])
    linger_to_the_end(interlock.Value("i", 0, name=name, client=client, linger=10, ttl=60))


def test_process_whose_client_was_collected_has_committed_and_given_back(client):
    value = interlock.Value("i", 0, linger=0, name="collected", ttl=60)
    with peers(linger_with_a_client_that_is_collected, [("collected",)]) as processes:
        joined(processes)
        assert value.get_lock().acquire(timeout=5)
    assert value.value == 1
    value.get_lock().release()


# --- commits ---


def stored(client, value):
    return client.get(value._key)


def test_finished_section_is_seen_at_once_here_and_soon_elsewhere(client):
    value = interlock.Value("i", 0, linger=10)
    with value.get_lock():
        value.value = 7
        assert stored(client, value) == "i:0", "the section has not ended"
    assert value.value == 7
    wait_until(lambda: stored(client, value) == "i:7", within=5, what="the commit")


def test_section_that_goes_on_is_not_committed(client):
    value = interlock.Value("i", 0, linger=10)
    for new in (1, 2):
        with value.get_lock():
            value.value = new
    with value.get_lock():
        value.value = 3
        wait_until(lambda: stored(client, value) == "i:2", within=5, what="the commit of the sections before")
        interlock.flush()
        assert stored(client, value) == "i:2"
    interlock.flush()
    assert stored(client, value) == "i:3"


@pytest.mark.parametrize("twin", [None, "stores_the_last_alone_in_a_commit"])
def test_values_that_share_a_lock_are_committed_together_or_not_at_all(client, monkeypatch, twin):
    lock = interlock.Lock(linger=10)
    first, second = (interlock.Value("i", 0, lock=lock) for _ in range(2))
    seats = interlock.Array("i", 3, lock=lock)
    with twins.in_force(twin), no_look(monkeypatch):
        with lock:
            first.value, second.value, seats[1] = 1, 2, 3
        interlock.flush()
        assert (first.value, second.value) == (1, 2)
        found = stored(client, first), stored(client, second), client.hget(seats._key, "1")
    assert (found == ("i:1", "i:2", "3")) == (twin is None)


@pytest.mark.parametrize(
    "signal_to",
    [
        lambda: interlock.Event().set(),
        lambda: interlock.Queue(ttl=60).put(1),
        lambda: interlock.Pipe()[0].send(1),
        lambda: interlock.Barrier(1).wait(),
        lambda: interlock.Semaphore(1).release(),
        lambda: notify(interlock.Condition()),
    ],
)
def test_what_another_process_may_take_as_a_signal_comes_after_the_commit(client, monkeypatch, signal_to):
    value = interlock.Value("i", 0, linger=10)
    with no_look(monkeypatch):
        with value.get_lock():
            value.value = 5
        signal_to()
        assert stored(client, value) == "i:5"


def notify(condition):
    with condition:
        condition.notify()


@pytest.mark.parametrize("twin", [None, "commits_in_any_order"])
def test_late_copy_of_a_commit_does_not_undo_a_later_one(client, monkeypatch, twin):
    value = interlock.Value("i", 0, linger=10)
    with no_look(monkeypatch), twins.in_force(twin):
        with value.get_lock():
            value.value = 1
        interlock.flush()
        with value.get_lock():
            value.value = 2
        interlock.flush()
        hold = value.get_lock()._lingering_lock.hold
        own, writes = session(None), {value._key: ("i:1", None)}
        own.run(scripts.commit(hold.resource, id=hold.id, token=hold.token, number=1, writes=writes))
        assert (stored(client, value) == "i:2") == (twin is None)


@pytest.mark.parametrize("twin", [None, "commits_under_any_token"])
def test_commit_under_an_old_token_writes_nothing(client, monkeypatch, twin):
    value = interlock.Value("i", 0, linger=10)
    with no_look(monkeypatch), twins.in_force(twin):
        with value.get_lock():
            value.value = 1
        hold = value.get_lock()._lingering_lock.hold
        other = interlock.RLock(name=value.name, client=client)
        other.break_lock()
        own, writes = session(None), {value._key: ("i:666", None)}
        code = own.run(scripts.commit(hold.resource, id=hold.id, token=hold.token, number=9, writes=writes))
        assert (code == scripts.LOST) == (twin is None)
        assert (stored(client, value) == "i:666") == (twin is not None)


def test_lost_lease_discards_what_was_not_committed_whole_and_says_so_once(client, monkeypatch):
    lock = interlock.Lock(linger=10)
    first, second = (interlock.Value("i", 0, lock=lock) for _ in range(2))
    with no_look(monkeypatch):
        with lock:
            first.value, second.value = 1, 1
        with lock:
            first.value += 1
        assert lock_of_its_own(lock.name).break_lock()
        with pytest.raises(interlock.LeaseLostError):
            interlock.flush()
        interlock.flush()
    assert (stored(client, first), stored(client, second)) == ("i:0", "i:0")
    with lock:
        assert (first.value, second.value) == (0, 0)
        first.value = 5
    interlock.flush()
    assert stored(client, first) == "i:5"


def test_value_that_is_gone_is_told_at_the_commit(client, monkeypatch):
    value = interlock.Value("i", 0, linger=10)
    with no_look(monkeypatch):
        with value.get_lock():
            value.value = 1
        client.delete(value._key)
        with pytest.raises(interlock.GoneError):
            interlock.flush()
    with value.get_lock(), pytest.raises(interlock.GoneError):
        _ = value.value


@pytest.mark.parametrize("linger", [0, 0.02])
def test_value_that_was_unlinked_is_gone_though_it_was_used_under_the_lock(linger):
    value = interlock.Value("i", 0, linger=linger)
    with value.get_lock():
        value.value = 1
    value.unlink()
    with pytest.raises(interlock.GoneError):
        _ = value.value
    with value.get_lock(), pytest.raises(interlock.GoneError):
        _ = value.value
    again = interlock.Value("i", 5, name=value.name, linger=linger)
    with again.get_lock():
        again.value += 1
    assert again.value == 6
    again.unlink()
    interlock.flush()


@pytest.mark.parametrize("linger", [0, 0.02])
def test_section_that_wrote_to_what_it_unlinked_is_told(linger):
    value = interlock.Value("i", 0, linger=linger)
    with pytest.raises(interlock.GoneError):
        with value.get_lock():
            value.value += 1
            value.unlink()
        interlock.flush()


def test_exception_of_a_signal_amid_entering_keeps_the_lock_from_nobody_for_long():
    """It strikes when the turn is taken, and before it is noted by whom."""
    lock = interlock.Lock(linger=10)
    with lock:
        pass
    assert lock._lingering_lock.take(threading.get_ident())
    assert lock_of_its_own(lock.name).acquire(timeout=10)
    with lock_of_its_own(lock.name, lease=5):
        pass


@pytest.mark.parametrize("flushed", [True, False])
def test_task_has_committed_when_it_ends(client, monkeypatch, flushed):
    """Invariant 9; the twin commits after the end, as Celery's task_postrun would."""
    value = interlock.Value("i", 0, linger=10)
    if not flushed:
        monkeypatch.setattr("interlock.acting.flush", lambda: None)
    with no_look(monkeypatch):
        with interlock.acting_for("1", "work"), value.get_lock():
            value.value = 1
        assert (stored(client, value) == "i:1") == flushed


def test_task_that_wrote_what_was_lost_fails_and_another_does_not(client, monkeypatch):
    value = interlock.Value("i", 0, linger=10)
    with no_look(monkeypatch), pytest.raises(interlock.LeaseLostError), interlock.acting_for("1", "work"):
        with value.get_lock():
            value.value = 1
        assert lock_of_another_session(value).break_lock()
        with interlock.acting_for("2", "other work"):
            pass
    assert stored(client, value) == "i:0"


def lock_of_another_session(value):
    return interlock.RLock(name=value.name, client=redis.Redis.from_url(os.environ["REDIS_URL"]))


def stop_in_a_section(value):
    with plain() as note:
        try:
            count(value, 1000, 1)
            interlock.flush()
            note.set("committed", value.value)
            with value.get_lock():
                value.value += 1
                note.rpush("entered", os.getpid())
                note.blpop("go on", timeout=60)
                try:
                    value.value += 1
                except interlock.LeaseLostError:
                    note.rpush("outcome", "write lost")
            note.rpush("outcome", "released")
        except interlock.LeaseLostError:
            note.rpush("outcome", "release lost")


def test_holder_that_is_stopped_past_its_lease_hears_it_on_the_next_write_and_on_release(client):
    value = interlock.Value("i", 0, lease=1.5, linger=0.02)
    with peers(stop_in_a_section, [(value,)]) as (process,):
        wait_until(lambda: client.llen("entered"))
        os.kill(process.pid, signal.SIGSTOP)
        with value.get_lock():
            value.value += 10
        client.rpush("go on", 1)
        os.kill(process.pid, signal.SIGCONT)
        process.join(30)
    assert client.lrange("outcome", 0, -1) == ["write lost", "release lost"]
    interlock.flush()
    assert value.value == 1010


def count_until_killed(value, progress):
    for _ in range(10**9):
        with value.get_lock():
            value.value += 1
            progress.value += 1


def test_killed_process_leaves_whole_sections(client):
    """Two values under one lock: whatever the moment of the kill, both have the same sections."""
    lock = interlock.Lock(lease=1.0, linger=0.02)
    value, progress = (interlock.Value("q", 0, lock=lock) for _ in range(2))
    with peers(count_until_killed, [(value, progress)]) as (process,):
        wait_until(lambda: value.value > 0)
        process.kill()
        process.join()
    with lock:
        assert value.value == progress.value > 0


# --- the values that come with the grant ---


def test_values_come_with_the_grant(client):
    value = interlock.Value("i", 5, linger=0.01)
    other = interlock.Value("i", 5, name=value.name, client=redis.Redis.from_url(os.environ["REDIS_URL"]), linger=0.01)
    for each in (value, other):
        count(each, 1, 1)
    before = int(client.info("commandstats")["cmdstat_getex"]["calls"])
    for _ in range(5):
        for each in (value, other):
            count(each, 1, 1)
    assert int(client.info("commandstats")["cmdstat_getex"]["calls"]) == before
    interlock.flush()
    assert value.value == 17


def test_small_arrays_come_with_the_grant(monkeypatch):
    seats = interlock.Array("h", [3, 0, 5], linger=0.01)
    elsewhere = redis.Redis.from_url(os.environ["REDIS_URL"])
    other = interlock.Array("h", 3, name=seats.name, client=elsewhere, linger=0.01)

    def add(array):
        with array.get_lock():
            array[:] = [each + 1 for each in array[:]]

    for each in (seats, other):
        add(each)
    with monkeypatch.context() as patch:
        true = scripts.run
        patch.setattr(scripts, "run", lambda name, *rest: pytest.fail(name) if "array" in name else true(name, *rest))
        for each in (seats, other) * 3:
            add(each)
    interlock.flush()
    assert seats[:] == other[:] == [11, 8, 13]


def test_grant_does_not_grow_with_the_values_that_were_used_before():
    counter = interlock.Value("i", 0, linger=0.02)
    lock = counter.get_lock()
    for _ in range(50):
        progress = interlock.Value("i", 0, lock=lock, ttl=60)
        with lock:
            counter.value += 1
            progress.value += 1
    session(None).run(session(None).lingering.commit(lock._lingering_lock))
    assert len(lock._lingering_lock.hold.local_values.wanted()) < 8 * 60
    assert counter.value == 50


def test_large_array_is_read_as_it_is_used_and_the_log_says_so_once(client, caplog):
    lock = interlock.Lock(linger=10)
    seats = interlock.Array("i", 5000, lock=lock)
    with caplog.at_level("INFO", logger="interlock"), lock:
        seats[4999] = 7
        assert seats[4998:] == [0, 7]
        assert seats[0] == 0
    assert [each.message for each in caplog.records if "5,000 elements" in each.message] == [
        f"the array {seats.name!r} has 5,000 elements: more than 1,000 do not come with its lock, each read asks Redis"
    ]
    assert seats[4999] == 7
    interlock.flush()
    assert client.hget(seats._key, "4999") == "7"


@pytest.mark.parametrize("linger", [-1, float("nan"), float("inf"), 11])
def test_wrong_linger_is_one_line(linger):
    with pytest.raises(ValueError, match="linger must be 0 to 10 seconds"):
        interlock.Lock(linger=linger)
