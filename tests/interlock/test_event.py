"""Event as its twin in threading, between processes, and what is ours."""

import json
import multiprocessing
import os
import pickle
import signal
import threading

import peers as peers_module
import pytest
from mutants import twins
from peers import joined, peers, plain, wait_until

import interlock
from interlock._primitive import attach
from interlock._protocol import scripts
from interlock._session.process import session
from interlock.event import Event


@pytest.fixture(params=["spawn", "fork"])
def start_method(request, monkeypatch):
    monkeypatch.setattr(peers_module, "SPAWN", multiprocessing.get_context(request.param))


def wait_for(event, timeout):
    """Wait, and say what came of it."""
    with plain() as note:
        note.rpush("waited", str(event.wait(timeout)))


def set_and_say(event):
    """Set it after a value has been written that the waiters are to see."""
    with plain() as note:
        note.set("prepared", 1)
        event.set()


def waiting(event, n):
    wait_until(lambda: len(event.statistics().waiters) == n, what=f"{n} waiters")


def test_set_wakes_the_waiters_of_several_processes(client, start_method):
    event = Event()
    with peers(wait_for, [(event, 30)] * 3) as processes:
        waiting(event, 3)
        event.set()
        joined(processes, within=25)
    assert client.lrange("waited", 0, -1) == ["True"] * 3
    assert event.is_set()
    assert event.wait()


def test_set_in_another_process_is_seen_with_what_was_written_before(client, start_method):
    event = Event()
    with peers(set_and_say, [(event,)]) as processes:
        assert event.wait(30)
        assert client.get("prepared") == "1"
        joined(processes)


def test_wait_that_times_out_in_another_process_returns_false(client, start_method):
    event = Event()
    with peers(wait_for, [(event, 0.2)]) as processes:
        joined(processes)
    assert client.lrange("waited", 0, -1) == ["False"]
    assert event.statistics().waiters == (), "it has left"


@pytest.mark.parametrize("twin", [None, "former_sets_are_forgotten"])
def test_clear_right_after_set_loses_nobody(client, twin):
    """The waiters are stopped meanwhile, so that none can ask between the two. The twin's queue again, untold."""
    event = Event()
    with peers(wait_for, [(event, 30.0)] * 3, twin) as processes:
        waiting(event, 3)
        for process in processes:
            os.kill(process.pid, signal.SIGSTOP)
        event.set()
        event.clear()
        for process in processes:
            os.kill(process.pid, signal.SIGCONT)
        if twin is None:
            joined(processes)
            assert client.lrange("waited", 0, -1) == ["True"] * 3
        else:
            waiting(event, 3)
            assert not client.exists("waited")
    assert not event.is_set()


def test_waiter_that_was_taken_for_dead_learns_of_a_set_when_it_goes_on(client):
    event = Event()
    with peers(wait_for, [(event, 30.0)]) as processes:
        waiting(event, 1)
        os.kill(processes[0].pid, signal.SIGSTOP)
        client.delete(f"interlock:{{{event.name}}}:waiters")  # as if it had been silent for long
        event.set()
        event.clear()
        os.kill(processes[0].pid, signal.SIGCONT)
        joined(processes)
    assert client.lrange("waited", 0, -1) == ["True"]


def test_waiter_that_comes_after_clear_waits_for_the_next_set():
    event = Event()
    event.set()
    event.clear()
    assert not event.wait(0.1)
    assert not event.wait(0)
    thread = threading.Thread(target=event.wait)
    thread.start()
    waiting(event, 1)
    event.set()
    thread.join(15)
    assert not thread.is_alive()


@pytest.mark.parametrize("twin", [None, "no_signal_was_sent_before"])
@pytest.mark.parametrize("first", ["event_set", "event_clear"])
def test_change_that_is_sent_again_after_the_opposite_one_does_nothing(first, twin):
    event, opposite = Event(), Event.clear if first == "event_set" else Event.set
    call = session(None).holdings.new_id()
    argv = (event.kind, 86_400_000, call) if first == "event_set" else (event.kind, call)
    with twins.in_force(twin):
        event._session.run(event._run(first, *argv))
        opposite(event)
        assert event._session.run(event._run(first, *argv))[0] == scripts.DONE
    assert (event.is_set() == (opposite is Event.set)) == (twin is None)


@pytest.mark.parametrize("twin", [None, "no_signal_was_sent_before"])
def test_wait_that_is_sent_again_after_set_and_clear_has_its_answer(twin):
    """The first reply was lost: nobody but Redis knows that it had queued before."""
    event, id = Event(), session(None).holdings.new_id()
    with twins.in_force(twin):
        assert event._session.run(event._asked(id, stay=True)) == scripts.QUEUED
        event.set()
        event.clear()
        assert (event._session.run(event._asked(id, stay=True)) == scripts.GRANTED) == (twin is None)


def test_wait_that_arrives_after_it_was_left_queues_nobody():
    event, id = Event(), session(None).holdings.new_id()
    for stay in (True, False, False, True):
        event._session.run(event._asked(id, stay=stay))
    assert event.statistics().waiters == ()


def test_killed_waiter_disturbs_nobody_and_is_forgotten(client):
    event = Event()
    with peers(wait_for, [(event, 30.0)] * 2) as processes:
        waiting(event, 2)
        processes[0].kill()
        waiting(event, 1)
        event.set()
        joined(processes[1:])
    assert client.lrange("waited", 0, -1) == ["True"]


def test_waiters_key_is_gone_soon_after_the_last_one_died(client):
    event = Event()
    with peers(wait_for, [(event, 30.0)]):
        waiting(event, 1)
    wait_until(lambda: not client.exists(f"interlock:{{{event.name}}}:waiters"), what="its expiry")
    event.set()
    event.clear()


def test_wait_goes_on_while_its_connections_are_cut(client):
    event = Event()
    got = []
    thread = threading.Thread(target=lambda: got.append(event.wait(30)))
    thread.start()
    waiting(event, 1)
    for kind in ("normal", "pubsub"):
        client.client_kill_filter(_type=kind, skipme=True)
    event.set()
    thread.join(30)
    assert got == [True]


def test_set_event_with_a_name_stays_until_it_is_unlinked(client):
    event = Event(name="built")
    key = f"interlock:{{{event.name}}}"
    assert not event.is_set()
    assert not client.exists(key), "asking makes nothing"
    event.set()
    assert client.pttl(key) == -1
    event.clear()
    assert 0 < client.pttl(key) <= 86_400_000
    event.set()
    assert client.pttl(key) == -1, "nor does it expire when it is set again"
    event.unlink()
    assert not Event(name="built").is_set()
    assert not client.exists(key)


def test_set_event_with_a_ttl_lives_so_long_after_its_last_use(client):
    event = Event(name="brief", ttl=5.0)
    key = f"interlock:{{{event.name}}}"
    event.set()
    client.pexpire(key, 1000)
    assert event.is_set()
    assert 4000 < client.pttl(key) <= 5000


def test_waiter_survives_an_unlink():
    event = Event()
    event.set()
    event.clear()
    got = []
    thread = threading.Thread(target=lambda: got.append(event.wait(30)))
    thread.start()
    waiting(event, 1)
    event.unlink()
    assert not event.is_set()
    event.set()
    thread.join(15)
    assert got == [True]


def test_name_of_another_kind_is_refused():
    with interlock.Lock(name="shared"):
        event = Event(name="shared")
        for use in (event.set, event.clear, event.is_set, event.wait, event.statistics):
            with pytest.raises(interlock.NameTakenError, match="'shared' is a Lock already, not a Event"):
                use()


@pytest.mark.parametrize(
    ("timeout", "error"), [("1", TypeError), (float("nan"), ValueError), (threading.TIMEOUT_MAX * 2, OverflowError)]
)
def test_bad_timeout_is_refused(timeout, error):
    with pytest.raises(error, match="timeout"):
        Event().wait(timeout)


def test_negative_timeout_does_not_wait():
    assert not Event().wait(-1)


@pytest.mark.parametrize("carry", [lambda thing: pickle.loads(pickle.dumps(thing)), None])
def test_event_travels_by_pickle_and_as_json(carry):
    event = Event()
    event.set()
    carry = carry or (lambda thing: attach(json.loads(json.dumps({"kind": thing.kind, **thing.parameters()}))))
    copy = carry(event)
    assert copy.is_set()
    assert (copy.name, copy.ttl) == (event.name, event.ttl)


def test_repr_and_statistics_show_the_state():
    event = Event(name="shown")
    assert repr(event) == "<interlock.Event at 'shown': unset>"
    event.set()
    assert repr(event) == "<interlock.Event at 'shown': set>"
    assert event.statistics().is_set
    event.unlink()
