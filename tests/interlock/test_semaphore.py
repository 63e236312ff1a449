"""Semaphore and BoundedSemaphore as their twins in threading, and what is ours."""

import threading

import pytest
from faults import unanswered
from mutants import twins

import interlock
from interlock._protocol import scripts
from interlock._session.process import session


@pytest.mark.parametrize("kind", [interlock.Semaphore, interlock.BoundedSemaphore])
def test_permits_are_taken_and_given_back(kind):
    slots = kind(2)
    assert slots.acquire()
    assert slots.acquire(timeout=1)
    assert not slots.acquire(blocking=False)
    assert not slots.acquire(timeout=0.1)
    slots.release(2)
    assert slots.acquire(blocking=False)
    slots.release()


def test_permits_are_given_back_in_any_order_by_any_thread():
    slots = interlock.Semaphore(3)
    for _ in range(3):
        slots.acquire()
    threads = [threading.Thread(target=slots.release) for _ in range(3)]
    for thread in threads:
        thread.start()
        thread.join()
    assert slots.statistics().holders == ()
    assert slots.statistics().permits == 3


def test_release_in_excess_adds_a_permit_that_lasts(client):
    slots = interlock.Semaphore(0, name="grown")
    assert not slots.acquire(blocking=False)
    slots.release()
    assert slots.statistics().permits == 1
    assert client.pttl(f"interlock:{{{slots.name}}}") == -1, "what holds state does not expire"
    assert slots.acquire(timeout=1)
    slots.release()
    slots.unlink()
    assert not client.exists(f"interlock:{{{slots.name}}}")


def test_release_wakes_who_waits():
    slots = interlock.Semaphore(0)
    got = []
    thread = threading.Thread(target=lambda: got.append(slots.acquire(timeout=20)))
    thread.start()
    slots.release()
    thread.join(20)
    assert got == [True]


def test_bounded_semaphore_released_too_often_raises_and_changes_nothing():
    slots = interlock.BoundedSemaphore(1)
    with pytest.raises(ValueError, match="released too many times"):
        slots.release()
    with slots:
        pass
    with pytest.raises(ValueError, match="released too many times"):
        slots.release()
    assert slots.statistics().permits == 1


@pytest.mark.parametrize("value", [-1, 2_000_000])
def test_bad_value_is_refused(value):
    with pytest.raises(ValueError, match="semaphore initial value must be >= 0"):
        interlock.Semaphore(value)


@pytest.mark.parametrize("n", [0, -1])
def test_release_of_less_than_one_is_refused(n):
    with pytest.raises(ValueError, match="one or more"):
        interlock.Semaphore(1).release(n)


def test_timeout_without_waiting_is_refused():
    with pytest.raises(ValueError, match="can't specify a timeout"):
        interlock.Semaphore(1).acquire(blocking=False, timeout=1.0)


def test_bounded_semaphore_releases_all_or_none():
    slots = interlock.BoundedSemaphore(3)
    slots.acquire()
    with pytest.raises(ValueError, match="released too many times"):
        slots.release(2)
    assert len(slots.statistics().holders) == 1
    slots.release()
    assert slots.statistics().holders == ()


def test_two_threads_that_release_at_once_release_two():
    slots = interlock.Semaphore(2)
    for _ in range(10):
        slots.acquire()
        slots.acquire()
        threads = [threading.Thread(target=slots.release) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert slots.statistics().holders == ()
        assert slots.statistics().permits == 2


def test_permit_that_another_process_released_is_not_lost_when_its_holder_releases(client):
    from peers import SPAWN

    slots = interlock.Semaphore(1)
    slots.acquire()
    process = SPAWN.Process(target=slots.release)
    process.start()
    process.join(20)
    assert process.exitcode == 0
    slots.release()
    assert slots.statistics().permits == 2, "as in threading: released twice, taken once"


def test_unnamed_semaphore_that_grew_is_forgotten_in_the_end(client):
    slots = interlock.Semaphore(0)
    slots.release()
    assert 0 < client.pttl(f"interlock:{{{slots.name}}}") <= 86_400_000


def test_release_of_a_permit_without_an_answer_may_be_sent_again():
    slots = interlock.BoundedSemaphore(2)
    slots.acquire()
    with unanswered("release_permits", done=True, error=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        slots.release()
    slots.release()
    assert slots.statistics().holders == ()
    assert slots.statistics().permits == 2


@pytest.fixture
def claim():
    """Makes a waiter that has a claim, and has not heard of it: what it is to Redis, and its id."""
    own = session(None)
    own.run(own.inbox.listen(5))

    def make(slots, held):
        resource, id = slots._resource, own.holdings.new_id()
        asked = own.run(scripts.acquire(resource, id=id, lease_ms=9000, wait=True))
        assert asked.code == scripts.QUEUED
        own.run(scripts.release(resource, id=held[0], token=held[1]))
        assert [token for holder, token, _ in own.run(scripts.look(resource)).holders if holder == id]
        return own, resource, id, asked.token

    return make


def taken(slots):
    own = session(None)
    id = own.holdings.new_id()
    return id, own.run(scripts.acquire(slots._resource, id=id, lease_ms=9000, wait=False)).token


@pytest.mark.parametrize("twin", [None, "ended_claims_are_forgotten"])
@pytest.mark.parametrize("asks", ["beat", "acquire"])
def test_waiter_whose_claim_was_ended_by_a_release_has_acquired(claim, asks, twin):
    """Nobody had told it: it would wait for ever, or be refused."""
    slots = interlock.Semaphore(1)
    own, resource, id, arrival = claim(slots, taken(slots))
    with twins.in_force(twin):
        own.run(scripts.release_permits(resource, call=own.holdings.new_id(), n=1, bound=None, own=[]))
        for _ in range(2):
            if asks == "beat":
                (heard,) = scripts.beats(own.wire, [scripts.Beat(resource, [], [(id, arrival, "")])])
                assert (heard.grants[0] is not None) == (twin is None)
            elif twin is None:
                again = own.run(scripts.acquire(resource, id=id, lease_ms=9000, wait=True, arrival=arrival))
                assert again.code == scripts.GRANTED
            else:
                with pytest.raises(interlock.InterlockError, match="ended already"):
                    own.run(scripts.acquire(resource, id=id, lease_ms=9000, wait=True, arrival=arrival))
    look = own.run(scripts.look(resource))
    assert (look.permits, look.holders, look.waiters) == (1, [], [])


@pytest.mark.parametrize("twin", [None, "ended_claims_are_forgotten"])
@pytest.mark.parametrize(("kind", "permits"), [(interlock.Semaphore, 2), (interlock.BoundedSemaphore, 1)])
def test_release_that_ended_the_claim_of_who_gave_up_is_not_lost(claim, kind, permits, twin):
    slots = kind(1)
    own, resource, id, _ = claim(slots, taken(slots))
    with twins.in_force(twin):
        own.run(scripts.release_permits(resource, call=own.holdings.new_id(), n=1, bound=None, own=[]))
        for _ in range(2):
            own.run(scripts.abandon(resource, id=id))
    assert own.run(scripts.look(resource)).permits == (permits if twin is None else 1)


@pytest.mark.parametrize("twin", [None, "claims_end_first"])
def test_release_by_another_ends_a_lease_before_a_claim(claim, twin):
    slots = interlock.Semaphore(2)
    lasting = taken(slots)
    own, resource, id, _ = claim(slots, taken(slots))
    with twins.in_force(twin):
        own.run(scripts.release_permits(resource, call=own.holdings.new_id(), n=1, bound=None, own=[]))
    left = [holder for holder, _, _ in own.run(scripts.look(resource)).holders]
    assert left == ([id] if twin is None else [lasting[0]])
