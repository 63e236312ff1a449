"""Invariant 6: a call that is sent twice does what it does once."""

import re
import time

import pytest
import redis
from mutants import twins
from proxy import Proxy

import interlock
from interlock._protocol import scripts
from interlock._session.process import session


def test_acquire_sent_twice_gives_one_grant(own):
    resource = own.resource("Semaphore", "twice", 2)
    id = own.holdings.new_id()
    answers = [own.run(scripts.acquire(resource, id=id, lease_ms=1000, wait=True)) for _ in range(2)]
    assert answers[0].token == answers[1].token
    assert len(own.run(scripts.look(resource)).holders) == 1


def test_acquire_that_queues_sent_twice_queues_once(own):
    resource = own.resource("Lock", "twice")
    own.run(scripts.acquire(resource, id=own.holdings.new_id(), lease_ms=1000, wait=True))
    id = own.holdings.new_id()
    answers = [own.run(scripts.acquire(resource, id=id, lease_ms=1000, wait=True)) for _ in range(2)]
    assert answers[0].token == answers[1].token, "its arrival"
    assert own.run(scripts.look(resource)).waiters == [id]


@pytest.mark.parametrize("twin", [None, "nothing_was_done_before"])
def test_acquire_that_arrives_after_its_release_gets_nothing(own, twin):
    resource = own.resource("Lock", "twice")
    with twins.in_force(twin):
        id = own.holdings.new_id()
        granted = own.run(scripts.acquire(resource, id=id, lease_ms=1000, wait=True))
        own.run(scripts.release(resource, id=id, token=granted.token))
        if twin is None:
            with pytest.raises(interlock.InterlockError):
                own.run(scripts.acquire(resource, id=id, lease_ms=1000, wait=True))
        else:
            own.run(scripts.acquire(resource, id=id, lease_ms=1000, wait=True))
    assert bool(own.run(scripts.look(resource)).holders) == (twin is not None)


@pytest.mark.parametrize("twin", [None, "nothing_was_done_before"])
def test_release_sent_twice_answers_twice_and_hands_over_once(own, twin):
    resource = own.resource("Semaphore", "twice", 2)
    first, second = own.holdings.new_id(), own.holdings.new_id()
    with twins.in_force(twin):
        granted = own.run(scripts.acquire(resource, id=first, lease_ms=9000, wait=True))
        own.run(scripts.acquire(resource, id=second, lease_ms=9000, wait=True))
        release = [own.run(scripts.release(resource, id=first, token=granted.token)) for _ in range(2)]
    assert (release == [scripts.DONE, scripts.DONE]) == (twin is None)
    assert [id for id, _, _ in own.run(scripts.look(resource)).holders] == [second]


@pytest.mark.parametrize("twin", [None, "nothing_was_done_before"])
def test_permit_added_twice_by_one_call_counts_once(own, client, twin):
    resource = own.resource("Semaphore", "twice", 0)
    call = own.holdings.new_id()
    with twins.in_force(twin):
        for _ in range(2):
            own.run(scripts.release_permits(resource, call=call, n=1, bound=None, own=[]))
    assert (own.run(scripts.look(resource)).permits == 1) == (twin is None)
    client.delete("interlock:{twice}")


def test_try_that_failed_gets_nothing_when_it_arrives_again_later(own):
    resource = own.resource("Lock", "twice")
    holder, late = own.holdings.new_id(), own.holdings.new_id()
    granted = own.run(scripts.acquire(resource, id=holder, lease_ms=9000, wait=False))
    for _ in range(2):
        assert own.run(scripts.acquire(resource, id=late, lease_ms=9000, wait=False)).code == scripts.BUSY
    own.run(scripts.release(resource, id=holder, token=granted.token))
    assert own.run(scripts.acquire(resource, id=late, lease_ms=9000, wait=False)).code == scripts.BUSY
    assert own.run(scripts.look(resource)).holders == []


def test_beat_sent_twice_says_twice_that_another_ended_the_hold(own):
    resource = own.resource("Semaphore", "twice", 1)
    id = own.holdings.new_id()
    granted = own.run(scripts.acquire(resource, id=id, lease_ms=9000, wait=False))
    own.run(scripts.release_permits(resource, call=own.holdings.new_id(), n=1, bound=None, own=[]))
    beat = scripts.Beat(resource, [(id, granted.token, 9000)], [])
    for _ in range(2):
        assert scripts.beats(own.wire, [beat])[0].ends_ms == [-1]
    assert own.run(scripts.look(resource)).permits == 1


def test_abandon_sent_twice_and_an_acquire_behind_it_leave_nothing(own):
    resource = own.resource("Lock", "twice")
    id = own.holdings.new_id()
    own.run(scripts.acquire(resource, id=id, lease_ms=1000, wait=True))
    for _ in range(2):
        own.run(scripts.abandon(resource, id=id))
    with pytest.raises(interlock.InterlockError):
        own.run(scripts.acquire(resource, id=id, lease_ms=1000, wait=True))
    assert own.run(scripts.look(resource)).holders == []


@pytest.mark.parametrize("lost", ["acquire", "release"])
def test_lock_whose_reply_is_lost_goes_on_at_once(lost):
    """A proxy forwards one request, swallows its reply and cuts the connection: the call is sent again."""
    with Proxy() as proxy:
        client = redis.Redis(port=proxy.port)
        lock = interlock.Lock(client=client, lease=120.0, linger=0)
        with lock:
            pass  # connected, scripts loaded
        began = time.monotonic()
        for _ in range(3):
            if lost == "acquire":
                proxy.lose_next_reply()
            lock.acquire()
            if lost == "release":
                proxy.lose_next_reply()
            lock.release()
        assert proxy.lost == 3
        assert time.monotonic() - began < 60.0, "far less than the lease"
        assert not lock.locked()
        client.close()


def test_codes_are_the_same_in_lua_and_in_python():
    text = scripts.script("lock_look").text
    head = text[text.index("-- Codes returned first") : text.index("local GRANTED")]
    named = {word: int(number) for number, word in re.findall(r"(-?\d+) ([A-Z_]{4,})", head)}
    assert named == {name: getattr(scripts, name) for name in named}
    assert len(named) == 12
    for line in re.findall(r"^local ([A-Z_, ]+) = ([-\d, ]+)$", text, flags=re.MULTILINE):
        for word, number in zip(line[0].split(", "), line[1].split(", "), strict=True):
            assert named.get(word, int(number)) == int(number)


def late(own, resource, id, *, wait, ms=100):
    """An attempt whose lease has run out, and then a late copy of its acquire: the token that it had first."""
    token = own.run(scripts.acquire(resource, id=id, lease_ms=ms, wait=wait)).token
    time.sleep(2 * ms / 1000)  # the server's clock alone tells when a lease is over
    return token


@pytest.mark.parametrize("twin", [None, "what_is_lost_is_left"])
@pytest.mark.parametrize("told_by", ["release", "beat"])
def test_copy_of_an_acquire_that_comes_after_the_lease_keeps_the_lock_for_nobody(told_by, twin):
    """Found by the model: it grants the attempt again, under a token that its holder never hears of."""
    own, lock = session(None), interlock.Lock()
    resource, id = own.resource(lock.kind, lock.name), own.holdings.new_id()
    with twins.in_force(twin):
        token = late(own, resource, id, wait=False)
        own.run(scripts.acquire(resource, id=id, lease_ms=60_000, wait=False))
        if told_by == "release":
            assert own.run(scripts.release(resource, id=id, token=token)) == scripts.LOST
        else:
            (heard,) = scripts.beats(own.wire, [scripts.Beat(resource, [(id, token, 60_000)], [])])
            assert heard.ends_ms == [0]
        assert lock.locked() == (twin is not None)


@pytest.mark.parametrize("twin", [None, "busy_to_a_release"])
def test_release_is_never_told_that_a_late_copy_of_its_try_found_it_busy(twin):
    """Found by the model: its caller took that for success, though nothing was written."""
    own, lock = session(None), interlock.Lock()
    resource, id = own.resource(lock.kind, lock.name), own.holdings.new_id()
    with twins.in_force(twin):
        token = late(own, resource, id, wait=False)
        with lock:
            assert own.run(scripts.acquire(resource, id=id, lease_ms=100, wait=False)).code == scripts.BUSY
            code = own.run(scripts.release(resource, id=id, token=token))
    assert (code == scripts.LOST) == (twin is None)


@pytest.mark.parametrize("twin", [None, "notes_expire_in_use"])
def test_notes_of_what_was_done_outlive_the_last_of_them(own, client, twin):
    """Their expiry is put off when less than ten minutes may be left, not each time."""
    lock = interlock.Lock()
    notes = f"interlock:{{{lock.name}}}:done:{own.id}"
    with twins.in_force(twin):
        with lock:
            pass
        assert client.pttl(notes) > 600_000
        client.hset(notes, "kept", int(client.hget(notes, "kept")) - 700_000)
        client.pexpire(notes, 500_000)
        with lock:
            pass
        assert (client.pttl(notes) > 600_000) == (twin is None)
