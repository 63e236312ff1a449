"""Tasks that wait for another which never comes: they give up, and say in one line what to look at."""

import pytest

import interlock
from tasks import (
    await_event,
    bounded_buffer,
    channels,
    consume,
    get_items,
    go_rounds,
    produce,
    put_items,
    receive_items,
    signals,
)
from tasks.support import patience


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    for module in (patience, bounded_buffer, channels, signals):
        monkeypatch.setattr(module, "PATIENCE", 0.2)


@pytest.fixture
def buffer():
    lock = interlock.Lock()
    put, taken = interlock.Value("i", 0, lock=lock), interlock.Value("i", 0, lock=lock)
    return interlock.Condition(lock), interlock.Array("i", 3, lock=lock), put, taken


def test_producer_without_a_consumer_gives_up_with_the_buffer_full(buffer):
    with pytest.raises(TimeoutError, match=r"^waited 0.2 s for room in the buffer.* queue cpu\?.*_CPU_CONCURRENCY"):
        produce(*buffer, 7, 5)
    _, slots, put, taken = buffer
    assert (slots[:], put.value, taken.value) == ([7, 8, 9], 3, 0)


def test_consumer_without_a_producer_gives_up(buffer):
    with pytest.raises(TimeoutError, match=r"for an item in the buffer.* queue io\?.*INTERLOCK_IO_CONCURRENCY"):
        consume(*buffer, 1)


def test_putter_without_a_getter_gives_up_with_the_queue_full():
    queue = interlock.Queue(2)
    with pytest.raises(TimeoutError, match="for room in the queue: nobody got an item"):
        put_items(queue, 5)
    assert [queue.get(), queue.get(), queue.empty()] == [0, 1, True]


def test_getter_without_a_putter_gives_up():
    with pytest.raises(TimeoutError, match="for an item in the queue: nobody put one"):
        get_items(interlock.Queue())


def test_receiver_gives_up_when_the_sender_neither_sends_nor_closes():
    reader, writer = interlock.Pipe(duplex=False)
    writer.send(0)
    with pytest.raises(TimeoutError, match="for a message in the pipe: nobody sent one"):
        receive_items(reader)


def test_event_that_nobody_sets_is_waited_for_with_a_bound():
    with pytest.raises(TimeoutError, match=r"waited 0.4 s for the event 'never', and nobody set it"):
        await_event(interlock.Event(name="never", ttl=1))


def test_barrier_to_which_not_all_come_is_waited_for_with_a_bound():
    with pytest.raises(TimeoutError, match=r"for all 2 parties of a barrier.* at queue io and at queue cpu\?"):
        go_rounds(interlock.Barrier(2), 1)
