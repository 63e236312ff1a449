"""Condition between threads and processes: who is notified has the lock, in order; the dead pass it on."""

import multiprocessing
import os
import pickle
import signal
import threading
import time

import pytest
import redis
from mutants import twins
from peers import joined, peers, plain, wait_until

import interlock
from interlock._protocol import scripts


def wait_and_note(condition, mark):
    """Wait to be notified, and say so under the lock."""
    with condition:
        notified = condition.wait(timeout=30)
        with plain() as note:
            note.rpush("entered", f"{mark} {notified}")


def waiting(condition):
    return len(condition.statistics().waiters)


def start_in_order(condition, context, marks):
    """Processes that wait, one behind the other."""
    processes = []
    for mark in marks:
        processes.append(context.Process(target=wait_and_note, args=(condition, mark)))
        processes[-1].start()
        wait_until(lambda: waiting(condition) == len(processes), what="the wait of a process")
    return processes


@pytest.mark.parametrize("start", ["spawn", "fork"])
@pytest.mark.parametrize("lock", [interlock.Lock, interlock.RLock])
def test_processes_are_notified_in_order_of_arrival(client, start, lock):
    condition = interlock.Condition(lock())
    processes = start_in_order(condition, multiprocessing.get_context(start), "abc")
    with condition:
        condition.notify()
        condition.notify(2)
        assert client.llen("entered") == 0, "the lock is still held"
    joined(processes)
    assert client.lrange("entered", 0, -1) == ["a True", "b True", "c True"]


def test_notify_all_wakes_all_and_those_who_come_later_wait(client):
    condition = interlock.Condition()
    processes = start_in_order(condition, multiprocessing.get_context("spawn"), "abc")
    with condition:
        condition.notify_all()
        condition.notify_all()
    joined(processes)
    assert sorted(client.lrange("entered", 0, -1)) == ["a True", "b True", "c True"]
    with condition:
        assert not condition.wait(timeout=0.05), "nothing is left over for who comes now"


def test_who_is_not_notified_in_time_has_the_lock_again():
    condition = interlock.Condition(interlock.Lock())
    began = time.monotonic()
    with condition:
        assert condition.wait(timeout=0.2) is False
        assert condition._lock.locked()
    assert time.monotonic() - began >= 0.2
    assert waiting(condition) == 0
    assert not condition._lock.locked()


def test_wait_stores_what_was_written_and_gives_up_every_level_of_an_rlock():
    counter = interlock.Value("i", 0)
    condition = interlock.Condition(counter.get_lock())
    seen = []

    def other():
        with condition:
            seen.append(counter.value)
            counter.value = 7
            condition.notify()

    with condition, condition, counter.get_lock():
        counter.value = 5
        thread = threading.Thread(target=other)
        thread.start()
        assert condition.wait(timeout=10)
        assert counter.value == 7
        condition._lock.release()
        assert condition._lock._mine() is not None, "two levels are left"
        condition._lock.acquire()
    thread.join()
    assert seen == [5]
    assert not counter.get_lock().locked()


def test_only_the_holder_can_wait_and_notify():
    condition = interlock.Condition()
    for call in (condition.wait, condition.notify, condition.notify_all):
        with pytest.raises(RuntimeError, match="the caller does not hold its lock"):
            call()


@pytest.mark.parametrize("twin", [None, "notifications_die_with_the_dead"])
def test_notified_waiter_that_is_killed_passes_the_notification_on(client, twin):
    condition = interlock.Condition()
    with twins.in_force(twin):
        first, second = start_in_order(condition, multiprocessing.get_context("fork"), "ab")
        with condition:
            condition.notify()
            first.kill()
            first.join()
        try:
            wait_until(lambda: client.llen("entered"), within=60 if twin is None else 8, what="the second's wake-up")
            entered = client.lrange("entered", 0, -1)
        except AssertionError:
            entered = []
        second.kill()
        second.join()
    assert (entered == ["b True"]) == (twin is None)


@pytest.mark.parametrize("twin", [None, "wakes_in_any_order"])
def test_who_waits_is_passed_over_neither_by_notify_nor_by_who_comes_later(client, twin):
    condition = interlock.Condition()
    with twins.in_force(twin):
        processes = start_in_order(condition, multiprocessing.get_context("fork"), "abcd")
        for _ in processes:
            with condition:
                condition.notify()
        joined(processes)
    entered = [text[0] for text in client.lrange("entered", 0, -1)]
    assert (entered == list("abcd")) == (twin is None)


@pytest.mark.parametrize("twin", [None, "nothing_was_done_before"])
def test_notification_that_is_sent_twice_wakes_one(client, twin):
    condition = interlock.Condition()
    with twins.in_force(twin):
        processes = start_in_order(condition, multiprocessing.get_context("fork"), "ab")
        with condition:
            hold, session = condition._lock._mine(), condition._session
            call = session.holdings.new_id()
            for _ in range(2):
                session.run(
                    scripts.condition_notify(
                        hold.resource, id=hold.id, token=hold.token, call=call, condition=condition.name, n=1
                    )
                )
            left = waiting(condition)
        for process in processes:
            process.kill()
            process.join()
    assert (left == 1) == (twin is None)


@pytest.mark.parametrize("twin", [None, "silent_waiters_wait_again"])
def test_waiter_that_was_stopped_while_it_was_notified_is_woken_when_it_goes_on(client, twin):
    condition = interlock.Condition()
    with peers(wait_and_note, [(condition, "a")], twin) as (process,):
        wait_until(lambda: waiting(condition) == 1)
        os.kill(process.pid, signal.SIGSTOP)
        alive = f"interlock:{{{condition.name}}}:alive:*"
        wait_until(lambda: not list(client.scan_iter(alive)), what="its silence")
        with condition:
            condition.notify()
        assert waiting(condition) == 0, "passed over: it might be dead"
        os.kill(process.pid, signal.SIGCONT)
        wait_until(lambda: client.llen("entered") or waiting(condition), what="its sign of life")
        entered = client.lrange("entered", 0, -1)
    assert (entered == ["a True"]) == (twin is None)


def test_wait_that_a_full_redis_refuses_to_end_ends_when_there_is_room(client):
    condition = interlock.Condition()
    condition.acquire()
    changes = [
        threading.Timer(after, client.config_set, ("maxmemory", value)) for after, value in ((0.3, "1mb"), (2, "0"))
    ]
    try:
        for change in changes:
            change.start()
        assert condition.wait(timeout=1) is False
        changes[1].join()
    finally:
        for change in changes:
            change.join()
        client.config_set("maxmemory", "0")
    condition.release()
    assert condition._session.holdings.waits == {}


def test_wait_that_redis_refuses_to_end_leaves_nobody_behind(client):
    """When something else stands where the lock's state was."""
    condition = interlock.Condition()
    condition.acquire()
    state = condition._lock._resource.state
    spoilt = threading.Timer(0.3, lambda: client.delete(state) and client.set(state, "something else"))
    spoilt.start()
    try:
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            condition.wait(timeout=2)
    finally:
        spoilt.join()
        client.delete(state)
    assert condition._session.holdings.waits == {}
    assert condition._lock._mine() is None


def test_notify_of_none_wakes_none_and_of_half_a_waiter_is_refused(client):
    condition = interlock.Condition()
    (process,) = start_in_order(condition, multiprocessing.get_context("fork"), "a")
    with condition:
        for n in (0, -1):
            condition.notify(n)
        with pytest.raises(TypeError, match="n must be an int"):
            condition.notify(1.5)
        assert waiting(condition) == 1
        condition.notify()
    joined([process])


def test_lock_of_another_kind_is_refused():
    with pytest.raises(TypeError, match=r"lock must be None, an interlock\.Lock or an interlock\.RLock"):
        interlock.Condition(threading.Lock())


def test_it_travels_by_pickle_and_shares_its_lock():
    condition = interlock.Condition(interlock.Lock(name="its lock"), name="change")
    same = pickle.loads(pickle.dumps(condition))
    with same:
        assert not condition.acquire(False)
    assert (same.name, same.statistics().lock) == ("change", "its lock")


def test_bounded_buffer_between_processes_loses_and_doubles_nothing(client):
    """The textbook's example: 3 producers, 3 consumers, room for 2."""
    condition = interlock.Condition()
    with peers(produce, [(condition, n) for n in range(3)]) as makers, peers(consume, [(condition,)] * 3) as takers:
        joined([*makers, *takers], within=90)
    assert sorted(map(int, client.lrange("taken", 0, -1))) == list(range(60))
    assert int(client.get("most")) <= 2


def produce(condition, n):
    with plain() as note:
        for item in range(20 * n, 20 * n + 20):
            with condition:
                assert condition.wait_for(lambda: note.llen("buffer") < 2, timeout=60)
                size = note.rpush("buffer", item)
                note.set("most", max(size, int(note.get("most") or 0)))
                condition.notify_all()


def consume(condition):
    with plain() as note:
        for _ in range(20):
            with condition:
                assert condition.wait_for(lambda: note.llen("buffer") > 0, timeout=60)
                note.rpush("taken", note.lpop("buffer"))
                condition.notify_all()


def interrupt_after(seconds):
    threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)).start()


def test_interrupted_wait_has_the_lock_again_as_often_as_before():
    condition = interlock.Condition()
    with condition:
        with condition:
            interrupt_after(0.3)
            with pytest.raises(KeyboardInterrupt):
                condition.wait()
            assert waiting(condition) == 0
        assert condition._lock.locked()
    assert not condition._lock.locked()


def test_wait_that_is_interrupted_while_it_queues_for_the_lock_leaves_nobody_behind(client):
    condition = interlock.Condition(interlock.Lock(lease=8.0))
    other = interlock.Lock(name=condition._lock.name, client=client)
    condition.acquire()
    interrupt_after(3)
    taken = threading.Timer(0.1, other.acquire)
    taken.start()
    with pytest.raises(KeyboardInterrupt):
        condition.wait(timeout=1.5)
    taken.join()
    assert condition._session.holdings.waits == {}
    other.break_lock()
    assert not condition._lock.locked()


def test_wait_that_is_interrupted_before_its_answer_leaves_nobody_behind(monkeypatch):
    condition, real = interlock.Condition(), scripts.condition_wait

    def interrupted(*arguments, **options):
        yield from real(*arguments, **options)
        raise KeyboardInterrupt

    condition.acquire()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(scripts, "condition_wait", interrupted)
        condition.wait()
    condition.release()
    assert waiting(condition) == 0


@pytest.mark.parametrize("twin", [None, "queues_who_gave_up"])
def test_copy_of_a_wait_that_comes_after_its_caller_gave_up_leaves_nobody_waiting(twin):
    """It got lost, its caller was told that Redis does not answer, and then it arrives."""
    condition = interlock.Condition()
    with condition, twins.in_force(twin):
        hold, own = condition._lock._mine(), condition._session
        again = own.holdings.new_id()
        own.run(scripts.abandon(hold.resource, id=again, condition=condition.name))
        wait = {"id": hold.id, "token": hold.token, "writes": {}, "again": again, "condition": condition.name}
        if twin is None:
            with pytest.raises(interlock.InterlockError):
                own.run(scripts.condition_wait(hold.resource, **wait))
        else:
            own.run(scripts.condition_wait(hold.resource, **wait))
        assert waiting(condition) == (0 if twin is None else 1)
        assert condition._lock.locked() == (twin is None)


@pytest.mark.parametrize("twin", [None, "doubts_the_caller"])
def test_notification_whose_claim_ran_out_goes_to_the_next_waiter_of_the_process_that_calls(twin):
    """It is heard at this moment: it is not doubted for the claim that it did not confirm."""
    condition = interlock.Condition()
    own = condition._session
    first, second, call = own.holdings.new_id(), own.holdings.new_id(), own.holdings.new_id()
    own.run(own.inbox.listen(5))
    with twins.in_force(twin):
        for again in (first, second):
            condition.acquire()
            hold = condition._lock._mine()
            wait = {"id": hold.id, "token": hold.token, "writes": {}, "again": again, "condition": condition.name}
            own.run(scripts.condition_wait(hold.resource, **wait))
            own.holdings.forget([hold], lost=False)
        condition.acquire()
        hold = condition._lock._mine()
        notify = {"id": hold.id, "token": hold.token, "call": call, "condition": condition.name, "n": 1}
        own.run(scripts.condition_notify(hold.resource, **notify))
        condition.release()  # the first has a claim, and does not confirm it
        wait_until(lambda: not condition._lock.locked(), what="the end of the claim")
        notified, _ = own.run(scripts.condition_leave(hold.resource, id=second, condition=condition.name))
        for id in (first, second):
            own.run(scripts.abandon(hold.resource, id=id))
    assert notified == (twin is None)


def test_inspect_lists_who_waits_for_a_condition_and_lives(client):
    condition = interlock.Condition()
    with peers(wait_and_note, [(condition, "a")]) as (process,):
        wait_until(lambda: waiting(condition) == 1)
        found = {(each.kind, each.name): each for each in interlock.inspect()}
        assert str(process.pid) in found["Condition", condition.name].waiters[0]
        assert found["RLock", condition._lock.name].holders == ()
        process.kill()
        process.join()
        wait_until(lambda: waiting(condition) == 0, what="the end of its signs of life")
        assert not any(each.kind == "Condition" for each in interlock.inspect())
