"""What was lost under a lock that lingers is told by that lock and its values, by flush, or at the end of the task."""

import logging

import pytest

import interlock


def with_a_loss(client):
    """A value whose last update will be lost: it was deleted amid its lock's lingering."""
    value = interlock.Value("i", 0, linger=5)
    with value.get_lock():
        value.value += 1
    interlock.flush()
    with value.get_lock():
        value.value += 1
    client.delete(value._key)
    return value


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
