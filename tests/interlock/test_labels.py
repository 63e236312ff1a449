"""A task's id and name, and a host's name, ride along as text for people: whatever they hold breaks no message."""

import enum
import logging
import socket
import threading
import warnings

import pytest
from peers import wait_until

import interlock

HOSTILE = {
    "line end": "two\nlines",
    "line ends of all kinds": "a\r\nb\x0bc\x0cd\x1ee\x85f\u2028g",
    "zero": "nul\0nul",
    "spaces": " 1 2 3  4 ",
    "slashes": "s/1/2l30000/3w",
    "brackets": "[x]{y}(z)%d%1^$",
    "JSON": '"]}\n[["x",0]]',
    "not UTF-8": "caf\udce9",
    "escapes": "\x1b[31mred\x7f",
    "empty": "",
    "long": "n" * 100_000,
}
hostile = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)


class Named(str, enum.Enum):  # noqa: UP042 - a StrEnum formats as its value
    REPORT = "report"


def waiting(make, wait, text):
    """A thread that waits, in a task of that name and id."""

    def run():
        with interlock.acting_for(text, text):
            wait(make)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def enter(lock):
    with lock:
        pass


def wait_in(condition):
    with condition:
        condition.wait(20)


@hostile
def test_waiter_with_any_label_hears_its_grant(text, caplog):
    """The listener goes on, with the connection that it has, and hands over what is waited for: also values."""
    lock = interlock.Lock(linger=0)
    value = interlock.Value("i", 0, lock=lock, ttl=60)
    with caplog.at_level(logging.WARNING, logger="interlock"):
        for _ in range(3):  # the second section wants the value with its grant
            with lock:
                thread = waiting(value, add_one, text)
                wait_until(lambda: lock.statistics().waiters)
                (label,) = lock.statistics().waiters
                assert_for_people(label)
            thread.join(20)
    assert value.value == 3
    assert not [record.getMessage() for record in caplog.records if "a command was not sent" not in record.getMessage()]
    value.unlink()


def add_one(value):
    with value.get_lock():
        value.value += 1


def assert_for_people(label):
    """One line, short, of what can be printed."""
    assert label.isprintable()
    assert len(label.splitlines()) == 1
    assert len(label) < 500
    label.encode()


@hostile
def test_every_kind_of_waiter_with_any_label_is_woken_and_shown(text, caplog):
    """Who waits for an event, a barrier, a condition, an item, room, a permit or to read."""
    event, barrier, changed = interlock.Event(ttl=60), interlock.Barrier(2, ttl=60), interlock.Condition()
    queue, full, slots = interlock.Queue(ttl=60), interlock.Queue(1, ttl=60), interlock.Semaphore(1)
    shared = interlock.RWLock()
    full.put(1)
    slots.acquire()
    shared.writer.acquire()

    def notify():
        with changed:
            changed.notify()

    ways = [
        (event, event.wait, event.set, lambda: event.statistics().waiters),
        (barrier, barrier.wait, barrier.wait, lambda: barrier.statistics().waiters),
        (changed, lambda: wait_in(changed), notify, lambda: changed.statistics().waiters),
        (queue, queue.get, lambda: queue.put(1), lambda: queue.statistics().getters),
        (full, lambda: full.put(2), full.get, lambda: full.statistics().putters),
        (slots, slots.acquire, slots.release, lambda: slots.statistics().waiters),
        (shared, lambda: enter(shared.reader), shared.writer.release, lambda: shared.statistics().waiters),
    ]
    with caplog.at_level(logging.WARNING, logger="interlock"):
        for thing, wait, wake, waiters in ways:
            thread = waiting(thing, lambda _, wait=wait: wait(), text)
            (label,) = wait_until(waiters)
            assert_for_people(label)
            assert label in [each for found in interlock.inspect() for each in found.waiters]
            wake()
            thread.join(20)
            assert not thread.is_alive()
    assert not [record.getMessage() for record in caplog.records]
    slots.release()
    for each in (event, barrier, queue, full, slots):
        each.unlink()


@hostile
def test_warning_of_a_lock_that_a_task_left_is_one_line(text):
    lock = interlock.Lock(linger=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with interlock.acting_for(text, text):
            lock.acquire()
    (warning,) = caught
    assert_for_people(str(warning.message))


def test_host_whose_name_holds_a_line_end_is_shown_on_one(monkeypatch):
    """The name of the host is text of others, too."""
    monkeypatch.setattr(socket, "gethostname", lambda: "evil\nhost \udce9")
    session = interlock._session.session.Session(interlock.Lock()._session.client)
    label = session.holdings.new_id().partition(" ")[2]
    assert_for_people(label)
    assert label.startswith("evil\\nhost \\udce9:")


def test_label_of_a_task_is_its_name_and_id_as_they_are():
    """What prints is left as it is; a member of an enumeration stands for its value."""
    lock = interlock.Lock(linger=0)
    with interlock.acting_for(Named.REPORT, "tägliche Übersicht 1/2"), lock:
        (holder,) = lock.statistics().holders
    assert holder.who.endswith(" tägliche Übersicht 1/2[report]")
    running = interlock.Caller(Named.REPORT, Named.REPORT)
    assert (type(running.id), type(running.name), running.label) == (str, str, "report[report]")
    assert interlock.Caller("1", "x" * 999).label.endswith("…")
