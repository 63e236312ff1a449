"""Barrier as its twin in threading, between processes, and what is ours."""

import json
import multiprocessing
import os
import pickle
import signal
import threading
import time

import peers as peers_module
import pytest
import redis
from mutants import twins
from peers import joined, peers, plain, wait_until

import interlock
from interlock._primitive import attach
from interlock._protocol import scripts
from interlock._session.process import session
from interlock.barrier import Barrier

BROKEN = (scripts.BROKEN, 0)
QUEUED = (scripts.QUEUED, 0)


@pytest.fixture(params=["spawn", "fork"])
def start_method(request, monkeypatch):
    monkeypatch.setattr(peers_module, "SPAWN", multiprocessing.get_context(request.param))


def pass_rounds(barrier, rounds):
    """Pass it again and again; note how many had arrived at each round when this party was let through."""
    with plain() as note:
        for number in range(rounds):
            note.incr(f"arrived {number}")
            place = barrier.wait(20)
            note.rpush("seen", note.get(f"arrived {number}"))
            note.rpush(f"places {number}", place)


def wait_at(barrier, timeout=None):
    """Wait, and say what came of it."""
    with plain() as note:
        try:
            note.rpush("outcome", barrier.wait(timeout))
        except threading.BrokenBarrierError:
            note.rpush("outcome", "broken")


def meet_with_action(name, parties, action):
    """Wait at a barrier with an action of this process."""
    wait_at(Barrier(parties, action, name=name))


def act():
    """Say that the action ran, and how many had passed before."""
    with plain() as note:
        time.sleep(0.2)
        note.rpush("acted", note.llen("outcome"))


def hang():
    with plain() as note:
        note.rpush("acted", os.getpid())
    time.sleep(3600)


def waiting(barrier, n):
    wait_until(lambda: barrier.n_waiting == n, what=f"{n} waiting")


def in_thread(function, *arguments):
    thread = threading.Thread(target=function, args=arguments)
    thread.start()
    return thread


def fall_silent(client, barrier, *ids):
    """As if these had not been heard for four seconds."""
    for id in ids:
        assert client.zscore(f"interlock:{{{barrier.name}}}:waiters", id)
        client.zincrby(f"interlock:{{{barrier.name}}}:waiters", -4000, id)


@pytest.fixture
def ids():
    """The ids of five attempts, of one process."""
    return [session(None).holdings.new_id() for _ in range(5)]


# --- rounds ---


@pytest.mark.parametrize("twin", [None, "rounds_run_into_each_other"])
def test_four_processes_pass_twenty_rounds_and_nobody_overtakes(client, twin):
    barrier = Barrier(4)
    with peers(pass_rounds, [(barrier, 20)] * 4, twin) as processes:
        joined(processes)
    seen = client.lrange("seen", 0, -1)
    assert len(seen) == 80
    assert (set(seen) == {"4"}) == (twin is None)
    if twin is None:
        for number in range(20):
            assert sorted(client.lrange(f"places {number}", 0, -1)) == list("0123")


def test_processes_started_either_way_meet(client, start_method):
    barrier = Barrier(4)
    with peers(pass_rounds, [(barrier, 3)] * 3) as processes:
        pass_rounds(barrier, 3)
        joined(processes)
    assert client.lrange("seen", 0, -1) == ["4"] * 12
    assert (barrier.n_waiting, barrier.broken) == (0, False)


def test_timeout_of_one_breaks_it_for_all_however_started(client, start_method):
    barrier = Barrier(3)
    with peers(wait_at, [(barrier, 60)]) as processes:
        waiting(barrier, 1)
        with pytest.raises(threading.BrokenBarrierError):
            barrier.wait(0.1)
        joined(processes)
    assert client.lrange("outcome", 0, -1) == ["broken"]
    assert barrier.broken
    with pytest.raises(threading.BrokenBarrierError, match="is broken"):
        barrier.wait()


def test_places_are_in_order_of_arrival(ids):
    barrier = Barrier(3)
    assert barrier._session.run(barrier._step("arrive", ids[0])) == QUEUED
    assert barrier._session.run(barrier._step("arrive", ids[1])) == QUEUED
    assert barrier._session.run(barrier._step("arrive", ids[2])) == (scripts.DONE, 2)
    assert [barrier._session.run(barrier._step("arrive", id)) for id in ids[:3]] == [
        (scripts.DONE, n) for n in range(3)
    ]


@pytest.mark.parametrize("twin", [None, "no_signal_was_sent_before"])
def test_slow_party_gets_its_result_though_the_next_round_has_begun(ids, twin):
    barrier = Barrier(2)
    with twins.in_force(twin):
        barrier._session.run(barrier._step("arrive", ids[0]))
        barrier._session.run(barrier._step("arrive", ids[1]))
        barrier._session.run(barrier._step("arrive", ids[2]))
        assert (barrier._session.run(barrier._step("arrive", ids[0])) == (scripts.DONE, 0)) == (twin is None)
        assert (barrier._session.run(barrier._step("leave", ids[1])) == (scripts.DONE, 1)) == (twin is None)
    assert (barrier.n_waiting == 1) == (twin is None)


@pytest.mark.parametrize("twin", [None, "arrivals_count_twice"])
def test_arrival_that_is_sent_twice_counts_once(ids, twin):
    barrier = Barrier(2)
    with twins.in_force(twin):
        answers = [barrier._session.run(barrier._step("arrive", ids[0])) for _ in range(2)]
    assert (answers == [QUEUED, QUEUED]) == (twin is None)


def test_more_threads_than_parties_pass_in_rounds():
    barrier = Barrier(2)
    places = []
    threads = [in_thread(lambda: places.append(barrier.wait(30))) for _ in range(6)]
    for thread in threads:
        thread.join(30)
    assert sorted(places) == [0, 0, 0, 1, 1, 1]


# --- abort and reset ---


def test_abort_and_reset_reach_waiters_of_other_processes(client):
    barrier = Barrier(2)
    for end in (barrier.abort, barrier.reset):
        with peers(wait_at, [(barrier,)]) as processes:
            waiting(barrier, 1)
            end()
            joined(processes)
        assert barrier.broken == (end == barrier.abort)
        barrier.reset()
    assert client.lrange("outcome", 0, -1) == ["broken", "broken"]
    pair = in_thread(barrier.wait)
    barrier.wait(20)
    pair.join(20)


@pytest.mark.parametrize("twin", [None, "no_signal_was_sent_before"])
@pytest.mark.parametrize("verb", ["abort", "reset"])
def test_abort_or_reset_that_is_sent_again_later_does_nothing(ids, verb, twin):
    barrier = Barrier(2)
    with twins.in_force(twin):
        barrier._session.run(barrier._run(verb, ids[0]))
        barrier.reset()
        barrier._session.run(barrier._step("arrive", ids[1]))
        barrier._session.run(barrier._run(verb, ids[0]))
    assert ((barrier.n_waiting, barrier.broken) == (1, False)) == (twin is None)


def test_party_that_was_refused_does_not_arrive_late(ids):
    """Its first call is delivered again after a reset: nobody is there for it."""
    barrier = Barrier(2)
    barrier.abort()
    assert barrier._session.run(barrier._step("arrive", ids[0])) == BROKEN
    barrier.reset()
    assert barrier._session.run(barrier._step("arrive", ids[0])) == BROKEN
    assert barrier.n_waiting == 0


# --- the action ---


@pytest.mark.parametrize("twin", [None, "opens_before_the_action"])
def test_action_runs_once_before_anybody_passes(client, twin):
    arguments = [("acting", 3, act)] * 3
    with peers(meet_with_action, arguments, twin) as processes:
        joined(processes)
    assert (client.lrange("acted", 0, -1) == ["0"]) == (twin is None)
    assert sorted(client.lrange("outcome", 0, -1)) == list("012")


def test_action_is_run_by_a_party_that_has_one_though_the_last_has_none(client):
    barrier = Barrier(2, act)
    thread = in_thread(wait_at, barrier)
    waiting(barrier, 1)
    wait_at(pickle.loads(pickle.dumps(barrier)))
    thread.join(20)
    assert client.lrange("acted", 0, -1) == ["0"]
    assert sorted(client.lrange("outcome", 0, -1)) == ["0", "1"]


@pytest.mark.parametrize("error", [RuntimeError, OSError, KeyboardInterrupt])
def test_action_that_raises_breaks_the_barrier(client, error):
    """An OSError of the action is not taken for one of the connection."""

    def fail():
        raise error("no")

    barrier = Barrier(2, fail)
    thread = in_thread(wait_at, Barrier(2, name=barrier.name))
    waiting(barrier, 1)
    with pytest.raises(error, match="no"):
        barrier.wait()
    thread.join(20)
    assert client.lrange("outcome", 0, -1) == ["broken"]
    assert barrier.broken


def test_action_that_takes_long_breaks_nothing(client):
    barrier = Barrier(2, lambda: time.sleep(4.5))
    thread = in_thread(wait_at, barrier)
    assert barrier.wait() in (0, 1)
    thread.join(20)
    assert client.llen("outcome") == 1
    assert not barrier.broken


def test_abort_during_the_action_breaks_it_for_its_party_too():
    barrier = Barrier(1)
    barrier._action = barrier.abort
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait()
    assert barrier.broken


@pytest.mark.parametrize("done", [True, False])
def test_action_is_not_run_again_when_its_opening_got_no_answer(client, monkeypatch, done):
    runs, cut, step = [], [], Barrier._step

    def lossy(self, verb, id):
        if verb != "open" or cut:
            return (yield from step(self, verb, id))
        cut.append(verb)
        if done:
            yield from step(self, verb, id)
        raise redis.ConnectionError("cut")

    monkeypatch.setattr(Barrier, "_step", lossy)
    barrier = Barrier(2, lambda: runs.append(1))
    thread = in_thread(wait_at, barrier)  # runs the action, once the other has come
    waiting(barrier, 1)
    assert Barrier(2, name=barrier.name).wait(20) == 1
    thread.join(20)
    assert (runs, cut) == ([1], ["open"])
    assert client.lrange("outcome", 0, -1) == ["0"]


# --- the dead ---


def test_killed_waiter_breaks_it_within_seconds(client):
    barrier = Barrier(3)
    with peers(wait_at, [(barrier,)] * 2) as processes:
        waiting(barrier, 2)
        processes[0].kill()
        joined(processes[1:])
    assert client.lrange("outcome", 0, -1) == ["broken"]
    assert barrier.broken


def test_party_that_comes_long_after_the_only_waiter_died_does_not_pass(client):
    barrier = Barrier(2)
    with peers(wait_at, [(barrier,)]):
        waiting(barrier, 1)
    fall_silent(client, barrier, *client.zrange(f"interlock:{{{barrier.name}}}:waiters", 0, -1))
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait()


def test_last_party_that_is_killed_in_its_action_breaks_it(client):
    barrier = Barrier(2, name="fatal", ttl=60)
    thread = in_thread(wait_at, barrier)
    waiting(barrier, 1)
    with peers(meet_with_action, [("fatal", 2, hang)]) as processes:
        wait_until(lambda: client.llen("acted"), what="the action")
        processes[0].kill()
        thread.join(10)
    assert client.lrange("outcome", 0, -1) == ["broken"]
    barrier.unlink()


def test_waiter_that_was_stopped_too_long_finds_it_broken(client):
    barrier = Barrier(3)
    with peers(wait_at, [(barrier,)] * 2) as processes:
        waiting(barrier, 2)
        os.kill(processes[0].pid, signal.SIGSTOP)
        joined(processes[1:])
        os.kill(processes[0].pid, signal.SIGCONT)
        joined(processes)
    assert client.lrange("outcome", 0, -1) == ["broken"] * 2


@pytest.mark.parametrize("twin", [None, "silence_is_not_noticed"])
def test_silence_of_one_is_noticed_by_whoever_asks(client, ids, twin):
    barrier = Barrier(3)
    with twins.in_force(twin):
        barrier._session.run(barrier._step("arrive", ids[0]))
        barrier._session.run(barrier._step("arrive", ids[1]))
        fall_silent(client, barrier, ids[0])
        assert barrier.broken == (twin is None)
        assert (barrier._session.run(barrier._step("arrive", ids[1])) == BROKEN) == (twin is None)


@pytest.mark.parametrize("twin", [None, "an_outage_is_a_death"])
def test_silence_of_all_is_taken_for_an_outage_at_first(client, ids, twin):
    barrier = Barrier(3)
    with twins.in_force(twin):
        barrier._session.run(barrier._step("arrive", ids[0]))
        barrier._session.run(barrier._step("arrive", ids[1]))
        fall_silent(client, barrier, ids[0], ids[1])
        assert (barrier._session.run(barrier._step("arrive", ids[0])) == QUEUED) == (twin is None)
        assert (barrier._session.run(barrier._step("arrive", ids[1])) == QUEUED) == (twin is None)
        assert (barrier._session.run(barrier._step("arrive", ids[2])) == (scripts.DONE, 2)) == (twin is None)


@pytest.mark.parametrize("twin", [None, "opens_without_the_silent"])
def test_barrier_does_not_open_before_all_were_heard_after_an_outage(client, ids, twin):
    barrier = Barrier(2)
    with twins.in_force(twin):
        barrier._session.run(barrier._step("arrive", ids[0]))
        fall_silent(client, barrier, ids[0])
        assert (barrier._session.run(barrier._step("arrive", ids[1])) == QUEUED) == (twin is None)
        if twin is None:
            assert barrier._session.run(barrier._step("arrive", ids[0])) == (scripts.DONE, 0), "heard: now it opens"


def test_waiting_parties_survive_a_pause_of_redis(client):
    """It answers nobody for longer than it takes to count as dead."""
    barrier = Barrier(3)
    with peers(wait_at, [(barrier,)] * 2) as processes:
        waiting(barrier, 2)
        client.client_pause(4500)
        assert barrier.wait(30) in (0, 1, 2)
        joined(processes)
    assert sorted(client.lrange("outcome", 0, -1)) == ["0", "1"]


def test_outage_that_goes_on_for_nobody_ends_in_a_break(client, ids):
    """Those who look from outside do not put it off."""
    barrier = Barrier(2)
    barrier._session.run(barrier._step("arrive", ids[0]))
    fall_silent(client, barrier, ids[0])
    assert not barrier.broken
    key = f"interlock:{{{barrier.name}}}"
    client.hincrby(key, "doubt", -4000)
    fall_silent(client, barrier, ids[0])
    assert barrier.broken


def test_wait_goes_on_while_its_connections_are_cut(client):
    barrier = Barrier(2)
    thread = in_thread(wait_at, barrier)
    waiting(barrier, 1)
    for kind in ("normal", "pubsub"):
        client.client_kill_filter(_type=kind, skipme=True)
    barrier.wait(30)
    thread.join(30)
    assert client.lrange("outcome", 0, -1) == ["0"]


# --- names, keys, arguments ---


def test_broken_barrier_with_a_name_stays_broken_until_it_is_reset(client):
    barrier = Barrier(2, name="kept")
    key = "interlock:{kept}"
    barrier.abort()
    assert client.pttl(key) == -1
    barrier.reset()
    assert 0 < client.pttl(key) <= 86_400_000
    barrier.abort()
    barrier.unlink()
    assert not Barrier(2, name="kept").broken
    assert not client.exists(key)


def test_name_with_other_parties_or_of_another_kind_is_refused():
    pair = Barrier(2, name="pair")
    pair.reset()
    other = Barrier(3, name="pair")
    for use in (other.wait, other.abort, other.reset, other.statistics):
        with pytest.raises(interlock.NameTakenError, match="is for 2 parties, not 3"):
            use()
    pair.unlink()
    with interlock.Lock(name="taken"), pytest.raises(interlock.NameTakenError, match="is a Lock already"):
        Barrier(2, name="taken").wait()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((0,), ValueError),
        ((True,), TypeError),
        ((2.0,), TypeError),
        ((2, "act"), TypeError),
        ((2, None, "1"), TypeError),
    ],
)
def test_bad_arguments_are_refused_in_one_line(arguments, error):
    with pytest.raises(error) as raised:
        Barrier(*arguments)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("carry", [lambda thing: pickle.loads(pickle.dumps(thing)), None])
def test_barrier_travels_by_pickle_and_as_json_without_its_action(carry):
    barrier = Barrier(2, act, 5)
    carry = carry or (lambda thing: attach(json.loads(json.dumps({"kind": thing.kind, **thing.parameters()}))))
    copy = carry(barrier)
    assert copy.parameters() == barrier.parameters()
    assert copy._action is None


def test_repr_and_statistics_show_the_state():
    barrier = Barrier(2, name="shown", ttl=60)
    thread = in_thread(wait_at, barrier)
    waiting(barrier, 1)
    assert repr(barrier) == "<interlock.Barrier at 'shown': waiters=1/2>"
    assert len(barrier.statistics().waiters) == 1
    barrier.abort()
    thread.join(20)
    assert repr(barrier) == "<interlock.Barrier at 'shown': broken>"
    assert barrier.statistics().broken
    barrier.unlink()
