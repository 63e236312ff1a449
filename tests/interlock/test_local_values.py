"""What finished sections wrote, looked at by another thread amid the next one: whole sections, and the last of them."""

import contextlib
import os
import random
import threading
import time
from contextlib import contextmanager

import pytest
import redis
from mutants.guards import without
from peers import wait_until
from switching import called, switching

import interlock
from interlock._holding.local_values import LocalValue
from interlock._holding.turns import Bias, Turns
from interlock._session.process import session

pytestmark = pytest.mark.usefixtures("nothing_lost_is_left_to_be_told")

REST = "if self.bias_holder is bias and bias.inside is inside and bias.entered is entered:"
GUARDS = {  # name: (class, method, what stands there, what the twin has)
    "looks_once": (Turns, "_looked", REST, "if True:"),
    "reads_what_is_new_last": (LocalValue, "finished", "else now", "else self.now"),
    "knows_of_no_section_that_runs": (LocalValue, "finished", "running is not None", "False"),
}
END = {"ends_amid_sections": (Turns, "end_section", "self._held_up(look)", "(look(None), None)")}


def broken(twin):
    """The method without its guard; None: as it is."""
    return without(GUARDS | END, twin)


@contextmanager
def switching_anywhere():
    """Threads change as often as they can, at whatever a look reads and a section writes."""
    slots = ((Bias, "inside"), (Bias, "entered"), (LocalValue, "now"), (LocalValue, "before"))
    with switching(), pytest.MonkeyPatch.context() as patch:
        for owner, name in slots:
            patch.setattr(owner, name, called(vars(owner)[name]))
        patch.setattr(LocalValue, "section", called_late(LocalValue.section))
        yield


def called_late(slot):
    """As `called`; and who has read it may come late."""

    def read(self):
        found = slot.__get__(self)
        time.sleep(random.choice((0, 1e-4)))  # others run
        return found

    return property(read, lambda self, value: slot.__set__(self, value))


@pytest.mark.parametrize("twin", [None, *GUARDS])
def test_look_amid_sections_shows_whole_ones(twin):
    lock, over, torn = interlock.Lock(linger=10), threading.Event(), []
    values = [interlock.Value("q", 0, lock=lock) for _ in range(3)]

    def count():
        while not over.is_set():
            with lock:
                for value in values:
                    value.value += 1

    def look():
        lingering_lock, before, looks = lock._lingering_lock, 0, 0
        while not over.is_set() and not torn:
            found, _ = lingering_lock.turns.at_rest(lingering_lock.hold.local_values.finished)
            numbers = [found[value.name] for value in values]
            if len(set(numbers)) > 1 or numbers[0] < before:
                torn.append(numbers)
            before, looks = numbers[0], looks + 1

    with lock:
        for value in values:
            value.value = 1
    with broken(twin), switching_anywhere():
        threads = [threading.Thread(target=each) for each in (count, look)]
        for thread in threads:
            thread.start()
        threads[1].join(2)
        over.set()
        for thread in threads:
            thread.join()
    assert bool(torn) == (twin is not None)
    interlock.flush()


def elsewhere():
    """Another process's client, as far as locks can tell."""
    return redis.Redis.from_url(os.environ["REDIS_URL"])


def commands(client):
    """How many Redis has heard of, but for those that scripts call; and how many of them read a value."""
    stats = client.info("commandstats")
    return tuple(int(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"]) for name in ("evalsha", "getex"))


@pytest.mark.parametrize("kind", ["Value", "Array"])
def test_strict_section_costs_two_round_trips(client, kind):
    """What the section before used comes with the grant."""
    shared = interlock.Value("i", 0, linger=0) if kind == "Value" else interlock.Array("i", 3, linger=0)

    def add():
        with shared.get_lock():
            if kind == "Value":
                shared.value += 1
            else:
                shared[1] += 1

    add()
    scripts, reads = commands(client)
    for _ in range(10):
        add()
    more_scripts, more_reads = commands(client)
    assert more_scripts - scripts < 25, "two a section, and the heartbeat's, perhaps"
    assert more_reads == reads
    assert (shared.value if kind == "Value" else shared[1]) == 11


def test_what_a_section_did_not_use_does_not_come_with_the_next_grant():
    lock = interlock.Lock(linger=0)
    first, second = (interlock.Value("i", 0, lock=lock) for _ in range(2))
    with lock:
        first.value, second.value = 1, 1
    assert first.name in lock._wants
    assert second.name in lock._wants
    with lock:
        second.value += 1
    assert first.name not in lock._wants
    assert second.name in lock._wants
    with lock:
        assert (first.value, second.value) == (1, 2)


def test_values_that_came_with_a_strict_grant_are_those_of_its_moment():
    value = interlock.Value("i", 0, linger=0)
    other = interlock.Value("i", 0, name=value.name, client=elsewhere(), linger=0)
    for number in range(6):
        with (value, other)[number % 2].get_lock():
            (value, other)[number % 2].value += 1
    assert value.value == 6
    value.add(5)
    with other.get_lock():
        other.value += 1
    assert value.value == 12


def connected(outbox):
    return any(posted.connection.is_connected for free in list(outbox._posted.values()) for posted in list(free))


def test_grant_that_is_waited_for_finds_a_connection_for_its_confirmation():
    """Else the first hand-over over a slow network would cost the round trips of a new one."""
    holder, client = interlock.Lock(linger=0), elsewhere()
    lock = interlock.Lock(name=holder.name, client=client, linger=0)
    with holder:
        thread = threading.Thread(target=lambda: (lock.acquire(), lock.release()))
        thread.start()
        wait_until(lambda: connected(session(client).inbox.outbox))
    thread.join()


def counted_until(over, lock, values):
    while not over.is_set():
        with lock:
            for value in values:
                value.value += 1


@pytest.mark.parametrize("held_up", [True, False])
def test_look_that_takes_long_comes_to_rest_all_the_same(monkeypatch, held_up):
    """As one at many elements does: longer than the interpreter lets a thread run."""
    lock, over = interlock.Lock(linger=10), threading.Event()
    with lock:
        lingering_lock = lock._lingering_lock
    if not held_up:
        monkeypatch.setattr(Turns, "_withdraw", lambda _: None)
    value = interlock.Value("q", 0, lock=lock)
    counter = threading.Thread(target=counted_until, args=(over, lock, [value]))
    looker = threading.Thread(target=lingering_lock.turns.at_rest, args=(lambda _: time.sleep(0.02),))
    counter.start()
    wait_until(lambda: value.value > 100)
    looker.start()
    looker.join(3 if held_up else 1)
    assert looker.is_alive() != held_up
    over.set()
    for thread in (counter, looker):
        thread.join()


@pytest.mark.parametrize("twin", [None, "ends_amid_sections"])
def test_end_of_a_session_amid_sections_commits_whole_ones(client, twin):
    torn = 0
    with broken(twin), switching():
        for _ in range(25):
            own, over = elsewhere(), threading.Event()
            lock = interlock.Lock(client=own, linger=10)
            values = [interlock.Value("q", 0, client=own, lock=lock) for _ in range(3)]

            def count(over=over, lock=lock, values=values):
                with contextlib.suppress(interlock.NotHeldError):  # the section amid which it ended
                    counted_until(over, lock, values)

            thread = threading.Thread(target=count)
            thread.start()
            wait_until(lambda v=values[0]: v.value > 0)
            interlock.close()
            over.set()
            thread.join()
            torn += len({client.get(value._key) for value in values}) > 1
    assert (torn > 0) == (twin is not None)


def test_section_amid_which_its_session_ends_reads_no_old_copy(client):
    own = elsewhere()
    value = interlock.Value("q", 5, client=own, linger=10)
    other = interlock.Value("q", 5, name=value.name, client=elsewhere(), linger=0)
    with pytest.raises(interlock.NotHeldError), value.get_lock():
        value.value += 1
        interlock.close()
        with other.get_lock():
            other.value = 100
        assert value.value == 100
    with value.get_lock():
        value.value += 1
    interlock.flush()
    assert other.value == 101


def test_task_amid_its_section_is_not_told_of_what_another_has_lost(client):
    lock = interlock.Lock(linger=10)
    gone, kept = (interlock.Value("q", 0, lock=lock) for _ in range(2))
    with lock:
        kept.value = 0
    interlock.flush()
    client.delete(gone._key)
    finished, inside, told = threading.Event(), threading.Event(), {}

    def run(task, body):
        try:
            with interlock.acting_for(task, "task"):
                body()
        except interlock.InterlockError as error:
            told[task] = type(error)

    def lose():
        with lock:
            gone.value = 1
        finished.set()
        inside.wait()  # the commit at the end of the task finds another inside

    def write():
        with lock:
            kept.value = 1
            inside.set()
            threads[0].join()
            kept.value = 2

    threads = [threading.Thread(target=run, args=args) for args in (("loses", lose), ("writes", write))]
    threads[0].start()
    finished.wait()
    threads[1].start()
    for thread in threads:
        thread.join()
    assert told == {"loses": interlock.GoneError}
    assert client.get(kept._key) == "q:2"


@pytest.mark.parametrize("amid", ["section", "between"])
def test_read_after_an_unlink_by_another_thread_finds_nothing(amid):
    value = interlock.Value("q", 1, linger=10)
    lock = value.get_lock()
    unlink = threading.Thread(target=value.unlink)
    with lock:
        value.value += 1
    with lock:
        assert value.value == 2
        if amid == "section":
            unlink.start()
            unlink.join()
            with pytest.raises(interlock.GoneError):
                _ = value.value
    if amid == "between":
        unlink.start()
        unlink.join()
    with pytest.raises(interlock.GoneError):
        _ = value.value
    with lock, pytest.raises(interlock.GoneError):
        _ = value.value


def test_section_that_only_reads_amid_a_commit_has_nothing_to_lose():
    lock = interlock.Lock(linger=10)
    value = interlock.Value("q", 0, lock=lock)
    with lock:
        value.value = 1
    with lock:
        flush = threading.Thread(target=interlock.flush)
        flush.start()
        flush.join()
        assert value.value == 1
    assert interlock.Lock(name=lock.name, client=elsewhere()).break_lock()
    with lock:
        assert value.value == 1
