"""RWLock: readers together, a writer alone, first come first served; and breaking a lock by hand."""

import os
import pickle
import signal
import threading

import pytest
from kombu.utils.json import dumps, loads
from mutants import twins
from peers import hold, joined, pass_through, peers, plain, wait_until

import interlock
from interlock._protocol import scripts
from interlock._session.process import session


def read_and_write(shared, parties, rounds):
    """Each round one write and three reads, with a note of who was inside together."""
    with plain() as note:
        note.incr("ready")
        wait_until(lambda: int(note.get("ready")) == parties)
        for round in range(rounds):
            for mode in "rwrr" if round % 2 else "rrwr":
                with shared.writer if mode == "w" else shared.reader:
                    readers, writers = note.hincrby("inside", mode), note.hget("inside", "w" if mode == "r" else "r")
                    note.rpush("seen", f"{mode} {readers} {writers or 0}")
                    note.get("a round trip inside")
                    note.hincrby("inside", mode, -1)


@pytest.mark.parametrize("twin", [None, "readers_beside_a_writer"])
def test_writers_are_alone_and_readers_are_not(client, twin):
    shared = interlock.RWLock()
    with peers(read_and_write, [(shared, 4, 8)] * 4, twin) as processes:
        joined(processes)
    seen = [line.split() for line in client.lrange("seen", 0, -1)]
    assert len(seen) == 128
    assert max(int(count) for mode, count, _ in seen if mode == "r") > 1, "never two readers: the test shows nothing"
    alone = all((int(count), int(others)) == (1, 0) for mode, count, others in seen if mode == "w")
    undisturbed = all(int(others) == 0 for mode, _, others in seen if mode == "r")
    assert (alone and undisturbed) == (twin is None)


@pytest.mark.parametrize("twin", [None, "readers_pass_waiting_writers"])
def test_reader_that_comes_after_a_waiting_writer_waits_behind_it(client, twin):
    shared = interlock.RWLock()
    with twins.in_force(twin), shared.reader, peers(pass_through, [(shared.writer, "writer")], twin) as processes:
        wait_until(lambda: shared.statistics().waiters, what="the writer's wait")
        tried = threading.Thread(target=try_to_read, args=(shared, client))
        tried.start()
        tried.join()
        shared.reader.release()
        joined(processes)
        shared.reader.acquire()
    assert (client.lrange("entered", 0, -1) == ["False", "writer"]) == (twin is None)


def try_to_read(shared, client):
    entered = shared.reader.acquire(timeout=1.5)
    client.rpush("entered", str(entered))
    if entered:
        shared.reader.release()


def test_readers_that_wait_one_behind_the_other_enter_together(client):
    shared = interlock.RWLock()
    shared.writer.acquire()
    with peers(hold, [(shared.reader, n) for n in range(3)]):
        wait_until(lambda: len(shared.statistics().waiters) == 3)
        shared.writer.release()
        wait_until(lambda: client.llen("entered") == 3, what="all three inside")
        held = shared.statistics()
        assert len(held.holders) == 3
        assert len({holder.token for holder in held.holders}) == 3
        assert not shared.writer.acquire(blocking=False)


def test_what_a_killed_reader_or_writer_held_comes_back(client):
    shared = interlock.RWLock(lease=0.6)
    for side in (shared.reader, shared.writer):
        with peers(hold, [(side, "in")]) as processes:
            wait_until(lambda: client.lpop("entered"))
            os.kill(processes[0].pid, signal.SIGKILL)
            assert shared.writer.acquire(timeout=25)
            shared.writer.release()


def test_who_holds_it_cannot_wait_for_itself():
    shared = interlock.RWLock()
    for outer in (shared.reader, shared.writer):
        with outer:
            for inner in (shared.reader, shared.writer):
                with pytest.raises(interlock.InterlockError, match="release it first"):
                    inner.acquire()
                assert not inner.acquire(blocking=False)


def test_sides_release_what_is_their_own():
    shared = interlock.RWLock()
    with shared.reader:
        with pytest.raises(interlock.NotHeldError):
            shared.writer.release()
        assert (shared.reader.token or 0) > 0
        assert shared.writer.token is None
    assert not shared.writer.locked()


def test_statistics_tell_readers_from_writers():
    shared = interlock.RWLock()
    with shared.reader:
        assert not shared.statistics().holders[0].who.endswith("to write")
    with shared.writer:
        assert shared.statistics().holders[0].who.endswith("to write")
        assert any(each.name == shared.name and each.kind == "RWLock" for each in interlock.inspect())


def test_it_travels_whole_and_by_its_sides():
    shared = interlock.RWLock(name="prices", lease=5)
    interlock.register_with_kombu()
    for same in (pickle.loads(pickle.dumps(shared)), loads(dumps(shared))):
        with same.writer:
            assert shared.writer.token == same.writer.token
    for side in (pickle.loads(pickle.dumps(shared.writer)), loads(dumps(shared.writer))):
        with side:
            assert shared.writer.token == side.token
        assert (side.name, side.lease) == ("prices", 5)


def test_a_lock_and_an_rwlock_do_not_share_a_name():
    with interlock.RWLock(name="taken").writer, pytest.raises(interlock.NameTakenError, match="is a RWLock already"):
        interlock.Lock(name="taken").acquire()


def test_task_that_ends_inside_gives_its_side_back():
    shared = interlock.RWLock()
    with pytest.warns(ResourceWarning, match="ended holding"), interlock.acting_for("1", "a task"):
        shared.reader.acquire()
    assert not shared.writer.locked()


@pytest.mark.parametrize("kind", [interlock.Lock, interlock.RLock, interlock.RWLock])
def test_lock_that_is_broken_by_hand_goes_to_the_next_and_its_holder_notices(client, kind):
    lock = kind()
    value = interlock.Value("i", 0, lock=lock) if kind is not interlock.RWLock else None
    side = lock.writer if kind is interlock.RWLock else lock
    assert not lock.break_lock(), "nobody held it"
    side.acquire()
    if value:
        value.value = 666
    with peers(pass_through, [(side, "next")]) as processes:
        wait_until(lambda: lock.statistics().waiters)
        assert lock.break_lock()
        joined(processes)
    with pytest.raises(interlock.LeaseLostError):
        side.release()
    assert side.lost
    if value:
        assert value.value == 0
    with side:
        assert not side.lost


def test_heartbeat_tells_the_holder_of_a_broken_lock():
    lock = interlock.Lock(lease=0.9)
    with pytest.raises(interlock.LeaseLostError), lock:
        lock.break_lock()
        wait_until(lambda: lock.lost, what="the next renewal")


@pytest.mark.parametrize("twin", [None, "breaks_claims_too"])
def test_breaking_a_lock_forgets_no_waiter_whose_grant_is_lost(twin):
    """It has not read its grant, so it waits on: if its attempt were ended, nobody would serve it."""
    own, lock = session(None), interlock.Lock()
    resource, holder, waiter = own.resource(lock.kind, lock.name), own.holdings.new_id(), own.holdings.new_id()
    with twins.in_force(twin), own.client.pubsub() as ear:
        ear.subscribe(f"interlock:session:{own.id}")  # hears the grant, and tells nobody
        wait_until(ear.get_message)
        token = own.run(scripts.acquire(resource, id=holder, lease_ms=60_000, wait=False)).token
        arrival = own.run(scripts.acquire(resource, id=waiter, lease_ms=60_000, wait=True)).token
        own.run(scripts.release(resource, id=holder, token=token))
        own.run(scripts.break_all(resource, call=own.holdings.new_id()))
        (heard,) = scripts.beats(own.wire, [scripts.Beat(resource, [], [(waiter, arrival, "")])])
    assert (heard.grants[0] is not None) == (twin is None)


def test_dead_writer_does_not_keep_readers_from_readers():
    shared = interlock.RWLock()
    with shared.reader:
        with peers(pass_through, [(shared.writer, "dead")]):
            wait_until(lambda: shared.statistics().waiters)
        entered = []
        late = threading.Thread(target=lambda: entered.append(shared.reader.acquire(timeout=25)))
        late.start()
        late.join()
    assert entered == [True]
