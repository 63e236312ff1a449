"""No result overtakes the commit: what a call wrote is stored when others see that it has returned."""

import concurrent.futures
import multiprocessing
import uuid

import pytest
import worker_pools
from peers import joined, peers

import interlock


@pytest.fixture
def counter():
    made = new_counter()
    yield made
    made.unlink()


def new_counter():
    return interlock.Value("q", 0, name=f"returned-{uuid.uuid4().hex[:8]}", linger=0)


def stored(counter):
    """What has been committed: those who kept the lock were killed."""
    counter.get_lock().break_lock()
    return counter.value


@pytest.mark.parametrize(
    ("way", "start"),
    [
        *((way, "fork") for way in worker_pools.WAYS),
        *((way, "spawn") for way in ["Pool: map", "Executor: map", "Queue"]),
        *((way, "forkserver") for way in ["Pool: imap", "Executor: submit", "Pipe"]),
    ],
)
def test_updates_of_calls_that_have_returned_are_there_when_the_worker_is_killed(counter, way, start):
    """The worker is killed as soon as what it sends has arrived."""
    done = worker_pools.returned(way, start, counter.name)
    assert stored(counter) >= done > 0


@pytest.mark.parametrize("way", ["Pool: map", "Executor: submit", "Queue", "Pipe", "Event"])
def test_updates_of_calls_that_have_returned_are_lost_without_the_commit_point(way):
    """What the test above shows can fail. A slow pool lets its workers end in order: then again."""

    def loses():
        counter = new_counter()
        try:
            done = worker_pools.returned(way, "fork", counter.name, broken=True)
            return stored(counter) < done
        finally:
            counter.unlink()

    assert any(loses() for _ in range(5))


@pytest.fixture
def other():
    made = interlock.Value("q", 0, name=f"other-{uuid.uuid4().hex[:8]}", linger=0)
    yield made
    made.unlink()


def test_call_of_a_pool_fails_if_its_updates_are_lost_and_the_next_does_not(counter, other):
    """Both locks were lost: the pool goes on, and the call that is told is the one that wrote."""
    names = [counter.name, other.name]
    with multiprocessing.get_context("fork").Pool(1, worker_pools.set_up, (counter.name,)) as pool:
        with pytest.raises(multiprocessing.pool.MaybeEncodingError, match="LeaseLostError"):
            pool.apply_async(worker_pools.update_and_lose, (names,)).get(30)
        assert pool.apply_async(worker_pools.update).get(30) == 1
    assert (stored(counter), stored(other)) == (1, 0)


def test_call_of_an_executor_fails_if_its_updates_are_lost_and_the_next_does_not(counter, other):
    """Both locks were lost: the executor goes on, and the call that is told is the one that wrote."""
    context, names = multiprocessing.get_context("fork"), [counter.name, other.name]
    with concurrent.futures.ProcessPoolExecutor(1, context, worker_pools.set_up, (counter.name,)) as pool:
        with pytest.raises(interlock.LeaseLostError, match=counter.name):
            pool.submit(worker_pools.update_and_lose, names).result(30)
        assert pool.submit(worker_pools.update).result(30) == 1
    assert (stored(counter), stored(other)) == (1, 0)


def test_loss_in_the_parent_does_not_end_the_thread_that_manages_an_executor(counter):
    """What the parent lost is told to it, not to the executor."""
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
        assert pool.submit(int, "1").result(30) == 1
        worker_pools.update_and_lose([counter.name])
        assert [pool.submit(int, "2").result(30) for _ in range(3)] == [2, 2, 2]
    with pytest.raises(interlock.LeaseLostError):
        interlock.flush()
    worker_pools.kept.clear()


def test_pool_is_terminated_though_its_parent_has_lost_something(counter):
    """The pool's own messages to its workers raise nothing."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        worker_pools.update_and_lose([counter.name])
        workers = list(pool._pool)
    assert not any(worker.is_alive() for worker in workers)
    with pytest.raises(interlock.LeaseLostError):
        interlock.flush()
    worker_pools.kept.clear()


def test_signal_handler_sends_amid_a_commit_without_waiting_for_it(counter):
    """The commit is its own thread's, and would wait for ever."""
    reader, writer = multiprocessing.get_context("fork").Pipe(duplex=False)
    with peers(worker_pools.send_from_a_signal_handler, [(counter.name, writer, 100)], start="fork") as processes:
        said = None
        while said != "done":
            assert reader.poll(20), "the handler, or the thread that it interrupts, waits for ever"
            said = reader.recv()
        joined(processes)
