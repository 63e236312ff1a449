"""Invariants 4, 5 and 8: what is dead, stopped or lost delays others for a bounded time, and writes nothing."""

import os
import signal
import time

import psutil
import pytest
from mutants import twins
from peers import hold, joined, pass_through, peers, wait_until, write_after_a_pause

import interlock
from interlock._protocol import scripts
from interlock._session.process import session


def test_holder_stopped_past_its_lease_writes_nothing(client):
    value = interlock.Value("i", 0, lease=0.5)
    with peers(write_after_a_pause, [(value, 666)]) as processes:
        wait_until(lambda: client.llen("entered"))
        os.kill(processes[0].pid, signal.SIGSTOP)
        with value.get_lock():
            value.value = 1
        client.rpush("go on", 1)
        os.kill(processes[0].pid, signal.SIGCONT)
        joined(processes)
    assert client.lpop("outcome") == "lost"
    assert value.value == 1


@pytest.mark.parametrize("twin", [None, "writes_under_any_token"])
def test_release_under_an_old_token_writes_nothing(twin):
    value = interlock.Value("i", 0)
    own = session(None)
    lock = value.get_lock()
    resource = own.resource(lock.kind, lock.name)
    old_id = own.holdings.new_id()
    with twins.in_force(twin):
        old = own.run(scripts.acquire(resource, id=old_id, lease_ms=100, wait=False))
        wait_until(lambda: not lock.locked(), what="the end of the lease")
        with lock:
            writes = {value._key: ("i:666", None)}
            code = own.run(scripts.release(resource, id=old_id, token=old.token, writes=writes))
            assert value.value == (0 if twin is None else 666)
    assert code == (scripts.LOST if twin is None else scripts.DONE)


@pytest.mark.parametrize("twin", [None, "renews_what_is_lost"])
def test_holder_stopped_past_its_lease_learns_it_though_nobody_took_the_lock(client, twin):
    value = interlock.Value("i", 0, lease=0.5)
    with peers(write_after_a_pause, [(value, 666)], twin) as processes:
        wait_until(lambda: client.llen("entered"))
        os.kill(processes[0].pid, signal.SIGSTOP)
        wait_until(lambda: not value.get_lock().locked(), what="the end of the lease")
        os.kill(processes[0].pid, signal.SIGCONT)
        if twin is not None:  # the holder goes on as if nothing had happened
            wait_until(lambda: value.get_lock().locked(), what="the lease's return")
        client.rpush("go on", 1)
        joined(processes)
    assert (client.lpop("outcome") == "lost") == (twin is None)


def test_live_holder_keeps_its_lock_beyond_the_lease():
    lock = interlock.Lock(lease=0.9)
    with lock:
        token = lock.token
        time.sleep(2.7)  # three leases: the time is what is tested
        assert not lock.lost
        assert lock.token == token
        assert not interlock.Lock(name=lock.name).acquire(blocking=False)


@pytest.mark.parametrize("twin", [None, "leases_never_end"])
def test_waiter_enters_within_a_lease_after_the_holder_is_killed(client, twin):
    lock = interlock.Lock(lease=1.0)
    with peers(hold, [(lock, "holder")]) as (holder,):
        wait_until(lambda: client.llen("entered"))
        holder.kill()
        holder.join()
        with peers(pass_through, [(lock, "waiter")], twin) as processes:
            if twin is None:
                joined(processes)
            else:
                processes[0].join(6.0)
                assert processes[0].is_alive()


def test_permit_of_a_killed_process_comes_back(client):
    slots = interlock.Semaphore(2, lease=1.0)
    slots.acquire()
    with peers(hold, [(slots, "holder")]) as (holder,):
        wait_until(lambda: client.llen("entered"))
        assert not slots.acquire(blocking=False)
        holder.kill()
        holder.join()
        assert slots.acquire(timeout=60.0)
    slots.release(2)


@pytest.mark.parametrize("twin", [None, "nobody_is_deaf"])
def test_killed_waiter_is_passed_over_at_once(client, twin):
    """Nobody listens on its channel any more: the server says so in the release."""
    lock = interlock.Lock(lease=120.0)
    with peers(hold, [(lock, "holder")], twin) as (holder,):
        wait_until(lambda: client.llen("entered"))
        with peers(pass_through, [(lock, "dead")], twin) as (dead,):
            wait_until(lambda: len(lock.statistics().waiters) == 1)
            with peers(pass_through, [(lock, "alive")], twin) as (alive,):
                wait_until(lambda: len(lock.statistics().waiters) == 2)
                dead.kill()
                dead.join()
                holder.kill()  # the lease has long to run: the hand-over is done by hand, as the holder would
                holder.join()
                release_for(lock, twin)
                alive.join(60.0 if twin is None else 4.0)
                assert alive.is_alive() == (twin is not None)


@pytest.mark.parametrize("twin", [None, "claims_cost_a_lease"])
def test_stopped_waiters_cost_one_claim_together(client, twin):
    """Two stopped waiters of one process head the queue: after the first claim the process is doubtful as a whole."""
    lock = interlock.Lock(lease=120.0)
    lock.acquire()
    with peers(two_threads_wait, [(lock,)], twin) as (stopped,):
        wait_until(lambda: len(lock.statistics().waiters) == 2)
        with peers(pass_through, [(lock, "alive")], twin) as (alive,):
            wait_until(lambda: len(lock.statistics().waiters) == 3)
            stop(stopped)
            release_for(lock, twin)
            alive.join(60.0 if twin is None else 3.5)  # one claim and one re-ask
            assert alive.is_alive() == (twin is not None)
    lock.release()  # sent again: it has been done


def two_threads_wait(lock):
    import threading

    threads = [threading.Thread(target=pass_through, args=(lock, mark)) for mark in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def stop(process):
    """Stop it, and wait until it is: on a busy machine its other threads run on for a while, and would hear a grant."""
    os.kill(process.pid, signal.SIGSTOP)
    wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED, what="the stop of a process")


def release_for(lock, twin):
    """Release what is held, with the scripts of the twin, whoever the holder is."""
    own = session(None)
    resource = own.resource(lock.kind, lock.name)
    id, token, _ = own.run(scripts.look(resource)).holders[0]
    with twins.in_force(twin):
        assert own.run(scripts.release(resource, id=id, token=token)) == scripts.DONE


@pytest.mark.parametrize("twin", [None, "never_asks_again"])
def test_waiter_whose_grant_was_lost_enters_at_its_next_sign_of_life(client, twin):
    """The waiter's subscription is cut in the moment of the release: nobody hears the grant."""
    lock = interlock.Lock(lease=120.0)
    lock.acquire()
    with peers(pass_through, [(lock, "waiter")], twin) as (waiter,):
        wait_until(lambda: lock.statistics().waiters)
        stop(waiter)
        client.client_kill_filter(_type="pubsub")
        lock.release()
        os.kill(waiter.pid, signal.SIGCONT)
        waiter.join(60.0 if twin is None else 4.0)
        assert waiter.is_alive() == (twin is not None)


def test_waiter_that_times_out_leaves_the_queue(client):
    lock = interlock.Lock()
    lock.acquire()
    other = interlock.Lock(name=lock.name)
    began = time.monotonic()
    assert not other.acquire(timeout=0.2)
    assert time.monotonic() - began >= 0.2
    assert lock.statistics().waiters == ()
    lock.release()
    assert lock.statistics().holders == ()


def test_lost_lease_is_told_on_write_and_on_release(client):
    value = interlock.Value("i", 5)
    lock = value.get_lock()
    lock.acquire()
    client.delete(*client.scan_iter(f"interlock:{{{lock.name}}}*holders"), f"interlock:{{{lock.name}}}")
    wait_until(lambda: beat_now() or lock.lost)
    with pytest.raises(interlock.LeaseLostError):
        value.value = 6
    with pytest.raises(interlock.LeaseLostError):
        lock.release()
    assert value.value == 5
    with lock:
        assert not lock.lost


def beat_now():
    own = session(None)
    with own.holdings.mutex:
        for hold in own.holdings.holds.values():
            hold.due = 0.0
        own.heartbeat.wake_by(0.0)


@pytest.mark.parametrize("twin", [None, "the_dead_are_served"])
def test_a_process_that_has_not_been_heard_is_passed_over(client, twin):
    """A stopped waiter's sign of life has run out: it costs nothing at all."""
    lock = interlock.Lock()
    lock.acquire()
    with peers(pass_through, [(lock, "stopped")], twin) as (stopped,):
        wait_until(lambda: len(lock.statistics().waiters) == 1)
        os.kill(stopped.pid, signal.SIGSTOP)
        wait_until(lambda: not list(client.scan_iter("*:alive:*")), what="silence")
        with twins.in_force(twin):
            release_for(lock, twin)
            assert lock.locked() == (twin is not None)
    lock.release()  # sent again: it has been done


def test_late_heartbeat_is_not_taken_for_a_lost_lease():
    """Our clock says that the claim is over; Redis, which made a lease of it, is asked before anybody is told."""
    value = interlock.Value("i", 0)
    with value.get_lock():
        (hold,) = [hold for hold in session(None).holdings.holds.values() if hold.resource.name == value.name]
        hold.deadline = time.monotonic() - 1.0
        value.value = 1
    assert value.value == 1


@pytest.mark.parametrize("twin", [None, "shows_what_has_ended"])
def test_statistics_show_no_waiter_whose_process_is_dead(client, twin):
    """Who would be passed over does not wait; and what Redis has lost of a holder is no error."""
    lock = interlock.Lock()
    with twins.in_force(twin):
        lock.acquire()
        with peers(pass_through, [(lock, "dead")]) as (dead,):
            wait_until(lambda: len(lock.statistics().waiters) == 1)
            dead.kill()
        wait_until(lambda: not list(client.scan_iter("*:alive:*")), what="silence")
        assert len(lock.statistics().waiters) == (0 if twin is None else 1)
    client.delete(f"interlock:{{{lock.name}}}")
    assert lock.statistics().holders == ()
    with pytest.raises(interlock.LeaseLostError):
        lock.release()


@pytest.mark.parametrize(
    ("lease", "ago", "twin"),
    [
        (30.0, 3_700_000, None), (30.0, 3_700_000, "keys_expire_in_use"),
        (86_400.0, 60_000, None), (86_400.0, 60_000, "long_leases_outlive_their_keys"),
    ],
)  # fmt: skip
def test_keys_of_what_is_in_use_are_kept(client, lease, ago, twin):
    """Their expiry is put off once an hour, and at once for a lease that they would not outlive."""
    lock = interlock.Lock(lease=lease)
    state = f"interlock:{{{lock.name}}}"
    with lock:
        pass
    then = int(client.hget(state, "kept")) - ago
    client.hset(state, "kept", then)
    client.pexpire(state, 86_400_000 - ago)
    with twins.in_force(twin), lock:
        kept = client.pttl(state) > 86_400_000 - 30_000
        assert client.pttl(f"{state}:holders") > 86_400_000 - 30_000
    assert kept == (twin is None)
