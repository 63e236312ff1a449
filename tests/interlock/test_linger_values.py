"""Values under a lock that lingers: they are committed whole and in order, and come with the grant."""

import os
import signal
import threading

import pytest
import redis
from lingering import count, lock_of_its_own, no_look
from mutants import twins
from peers import peers, plain, wait_until

import interlock
from interlock._protocol import scripts
from interlock._session.process import session

pytestmark = pytest.mark.usefixtures("nothing_lost_is_left_to_be_told")


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
    assert lock._lingering_lock.turns.take(threading.get_ident())
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
