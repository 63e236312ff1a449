"""What was lost under a lock that lingers is told by that lock and its values, by flush, or at the end of the task."""

import logging
import os
import time

import pytest
import redis

import interlock
from interlock._session.process import session


def with_a_loss(client, n=1):
    """A value whose last update will be lost: it was deleted amid its lock's lingering; or so many of them."""
    values = [interlock.Value("i", 0, linger=5) for _ in range(n)]
    for _ in range(2):
        interlock.flush()
        for value in values:
            with value.get_lock():
                value.value += 1
    client.delete(*(value._key for value in values))
    return values[0]


@pytest.fixture
def lost(client):
    """Such a value, of whose loss `flush` tells in the end: nobody was told before."""
    yield with_a_loss(client)
    with pytest.raises(interlock.GoneError):
        interlock.flush()


def section(lock):
    with lock:
        pass


STRANGERS = {
    "Event.set": lambda: interlock.Event().set(),
    "Queue.put": lambda: interlock.Queue(ttl=60).put(1),
    "Pipe.send": lambda: interlock.Pipe(ttl=60)[0].send(1),
    "Semaphore.release": lambda: interlock.Semaphore(1, ttl=60).release(),
    "another array's unlink": lambda: interlock.Array("i", 3).unlink(),
    "another value's section": lambda: section(interlock.Value("i", 0)),
    "another lock's section": lambda: section(interlock.Lock(linger=5)),
    "statistics": lambda: interlock.Lock().statistics(),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_stranger_raises_no_loss_of_another_lock(lost, name):
    """The fixture sees afterwards that it is told to who asks."""
    STRANGERS[name]()


def test_publishing_a_task_raises_no_loss(lost, client):
    from tasks import print_square

    print_square.delay(1).forget()
    assert client.llen("cpu") == 1


@pytest.mark.parametrize(
    "tell",
    [
        lambda value: value.get_lock().acquire(),
        lambda value: value.unlink(),
        lambda value: interlock.flush(),
    ],
)
def test_lock_its_values_and_flush_tell_of_the_loss(client, tell):
    value = with_a_loss(client)
    interlock.Event().set()
    with pytest.raises(interlock.GoneError):
        tell(value)


def test_loss_that_nobody_asked_for_is_logged_when_the_session_ends(client, caplog):
    value = with_a_loss(client)
    interlock.Event().set()
    with caplog.at_level(logging.WARNING, logger="interlock"):
        interlock.close()
    (said,) = [record.getMessage() for record in caplog.records if "lost, and nobody asked" in record.getMessage()]
    assert value.name in said


def test_values_show_nothing_that_a_refused_commit_discarded(client):
    """Also when the lease has been renewed since."""
    lock = interlock.Lock(linger=5, lease=60.0)
    array, value = interlock.Array("i", 2, lock=lock), interlock.Value("i", 0, lock=lock)
    with lock:
        array[0] = value.value = 1
    interlock.flush()
    with lock:
        array[0] = value.value = 2
    client.delete(value._key)
    with pytest.raises(interlock.GoneError):
        interlock.flush()
    lock._lingering_lock.renewed()
    assert array[0] == 1
    with lock:
        assert array[0] == 1
    array.unlink()


def test_flush_names_all_losses_of_all_servers_and_commits_the_rest(client):
    with_a_loss(client, 2)
    other = redis.Redis.from_url(os.environ["REDIS_URL"])  # a session of its own, as with another server
    kept = interlock.Value("i", 0, client=other, linger=5)
    with kept.get_lock():
        kept.value += 1
    kept.get_lock()._lingering_lock.committed_at = time.monotonic() + 60  # no look of the heartbeat commits it
    with pytest.raises(interlock.GoneError) as caught:
        interlock.flush()
    (note,) = caught.value.__notes__
    assert note.startswith("and GoneError: released ")
    assert client.get(kept._key)
    interlock.flush()
    kept.unlink()
    session(other).close()


def test_end_of_a_task_names_all_that_it_lost(client):
    with pytest.raises(interlock.GoneError) as caught, interlock.acting_for("7", "writes"):
        with_a_loss(client, 2)
    assert len(caught.value.__notes__) == 1
