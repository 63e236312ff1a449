"""Invariant 6: a call that is sent twice does what it does once."""

import re
import time

import pytest
import redis
import twins
from proxy import Proxy

import interlock
from interlock import _scripts
from interlock._session import session


def test_acquire_sent_twice_gives_one_grant(own):
    of = own.identity("Semaphore", "twice", 2)
    id = own.standing.new_id()
    answers = [own.run(_scripts.acquire(of, id=id, lease_ms=1000, wait=True)) for _ in range(2)]
    assert answers[0].token == answers[1].token
    assert len(own.run(_scripts.look(of)).holders) == 1


def test_acquire_that_queues_sent_twice_queues_once(own):
    of = own.identity("Lock", "twice")
    own.run(_scripts.acquire(of, id=own.standing.new_id(), lease_ms=1000, wait=True))
    id = own.standing.new_id()
    answers = [own.run(_scripts.acquire(of, id=id, lease_ms=1000, wait=True)) for _ in range(2)]
    assert answers[0].token == answers[1].token, "its arrival"
    assert own.run(_scripts.look(of)).waiters == [id]


@pytest.mark.parametrize("twin", [None, "nothing_was_done_before"])
def test_acquire_that_arrives_after_its_release_gets_nothing(own, twin):
    of = own.identity("Lock", "twice")
    with twins.in_force(twin):
        id = own.standing.new_id()
        granted = own.run(_scripts.acquire(of, id=id, lease_ms=1000, wait=True))
        own.run(_scripts.release(of, id=id, token=granted.token))
        if twin is None:
            with pytest.raises(interlock.InterlockError):
                own.run(_scripts.acquire(of, id=id, lease_ms=1000, wait=True))
        else:
            own.run(_scripts.acquire(of, id=id, lease_ms=1000, wait=True))
    assert bool(own.run(_scripts.look(of)).holders) == (twin is not None)


@pytest.mark.parametrize("twin", [None, "nothing_was_done_before"])
def test_release_sent_twice_answers_twice_and_hands_over_once(own, twin):
    of = own.identity("Semaphore", "twice", 2)
    first, second = own.standing.new_id(), own.standing.new_id()
    with twins.in_force(twin):
        granted = own.run(_scripts.acquire(of, id=first, lease_ms=9000, wait=True))
        own.run(_scripts.acquire(of, id=second, lease_ms=9000, wait=True))
        release = [own.run(_scripts.release(of, id=first, token=granted.token)) for _ in range(2)]
    assert (release == [_scripts.DONE, _scripts.DONE]) == (twin is None)
    assert [id for id, _, _ in own.run(_scripts.look(of)).holders] == [second]


@pytest.mark.parametrize("twin", [None, "nothing_was_done_before"])
def test_permit_added_twice_by_one_call_counts_once(own, client, twin):
    of = own.identity("Semaphore", "twice", 0)
    call = own.standing.new_id()
    with twins.in_force(twin):
        for _ in range(2):
            own.run(_scripts.release_permits(of, call=call, n=1, bound=None, own=[]))
    assert (own.run(_scripts.look(of)).permits == 1) == (twin is None)
    client.delete("interlock:{twice}")


def test_try_that_failed_gets_nothing_when_it_arrives_again_later(own):
    of = own.identity("Lock", "twice")
    holder, late = own.standing.new_id(), own.standing.new_id()
    granted = own.run(_scripts.acquire(of, id=holder, lease_ms=9000, wait=False))
    for _ in range(2):
        assert own.run(_scripts.acquire(of, id=late, lease_ms=9000, wait=False)).code == _scripts.BUSY
    own.run(_scripts.release(of, id=holder, token=granted.token))
    assert own.run(_scripts.acquire(of, id=late, lease_ms=9000, wait=False)).code == _scripts.BUSY
    assert own.run(_scripts.look(of)).holders == []


def test_beat_sent_twice_says_twice_that_another_ended_the_hold(own):
    of = own.identity("Semaphore", "twice", 1)
    id = own.standing.new_id()
    granted = own.run(_scripts.acquire(of, id=id, lease_ms=9000, wait=False))
    own.run(_scripts.release_permits(of, call=own.standing.new_id(), n=1, bound=None, own=[]))
    beat = _scripts.Beat(of, [(id, granted.token, 9000)], [])
    for _ in range(2):
        assert _scripts.beats(own.wire, [beat])[0].ends_ms == [-1]
    assert own.run(_scripts.look(of)).permits == 1


def test_abandon_sent_twice_and_an_acquire_behind_it_leave_nothing(own):
    of = own.identity("Lock", "twice")
    id = own.standing.new_id()
    own.run(_scripts.acquire(of, id=id, lease_ms=1000, wait=True))
    for _ in range(2):
        own.run(_scripts.abandon(of, id=id))
    with pytest.raises(interlock.InterlockError):
        own.run(_scripts.acquire(of, id=id, lease_ms=1000, wait=True))
    assert own.run(_scripts.look(of)).holders == []


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
    text = _scripts.script("baton_look").text
    head = text[text.index("-- Codes returned first") : text.index("local GRANTED")]
    named = {word: int(number) for number, word in re.findall(r"(-?\d+) ([A-Z_]{4,})", head)}
    assert named == {name: getattr(_scripts, name) for name in named}
    assert len(named) == 12
    for line in re.findall(r"^local ([A-Z_, ]+) = ([-\d, ]+)$", text, flags=re.MULTILINE):
        for word, number in zip(line[0].split(", "), line[1].split(", "), strict=True):
            assert named.get(word, int(number)) == int(number)


def late(own, of, id, *, wait, ms=100):
    """An attempt whose lease has run out, and then a late copy of its acquire: the token that it had first."""
    token = own.run(_scripts.acquire(of, id=id, lease_ms=ms, wait=wait)).token
    time.sleep(2 * ms / 1000)  # the server's clock alone tells when a lease is over
    return token


@pytest.mark.parametrize("twin", [None, "what_is_lost_is_left"])
@pytest.mark.parametrize("told_by", ["release", "beat"])
def test_copy_of_an_acquire_that_comes_after_the_lease_keeps_the_lock_for_nobody(told_by, twin):
    """Found by the model: it grants the attempt again, under a token that its holder never hears of."""
    own, lock = session(None), interlock.Lock()
    of, id = own.identity(lock.kind, lock.name), own.standing.new_id()
    with twins.in_force(twin):
        token = late(own, of, id, wait=False)
        own.run(_scripts.acquire(of, id=id, lease_ms=60_000, wait=False))
        if told_by == "release":
            assert own.run(_scripts.release(of, id=id, token=token)) == _scripts.LOST
        else:
            (heard,) = _scripts.beats(own.wire, [_scripts.Beat(of, [(id, token, 60_000)], [])])
            assert heard.ends_ms == [0]
        assert lock.locked() == (twin is not None)


@pytest.mark.parametrize("twin", [None, "busy_to_a_release"])
def test_release_is_never_told_that_a_late_copy_of_its_try_found_it_busy(twin):
    """Found by the model: its caller took that for success, though nothing was written."""
    own, lock = session(None), interlock.Lock()
    of, id = own.identity(lock.kind, lock.name), own.standing.new_id()
    with twins.in_force(twin):
        token = late(own, of, id, wait=False)
        with lock:
            assert own.run(_scripts.acquire(of, id=id, lease_ms=100, wait=False)).code == _scripts.BUSY
            code = own.run(_scripts.release(of, id=id, token=token))
    assert (code == _scripts.LOST) == (twin is None)


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
