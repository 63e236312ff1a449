"""Pipe and Connection as their twins in multiprocessing, and what is ours."""

import json
import multiprocessing
import pickle
import threading
import time

import pytest
from kombu.serialization import dumps, loads
from peers import joined, wait_until

import interlock
from interlock.pipe import Connection, Pipe

METHODS = ("spawn", "fork")
BOTH = pytest.mark.parametrize("make", [multiprocessing.Pipe, Pipe])


def start(method, function, *arguments):
    process = multiprocessing.get_context(method).Process(target=function, args=arguments, daemon=True)
    process.start()
    return process


# --- between processes ---


def _answer(connection):
    """Double what arrives until the other end is closed, then say goodbye to nobody."""
    while True:
        try:
            number = connection.recv()
        except EOFError:
            break
        connection.send(number * 2)
    connection.close()


@pytest.mark.parametrize("method", METHODS)
def test_both_directions_work_between_two_processes_until_one_closes(method):
    here, there = Pipe()
    process = start(method, _answer, there)
    there.close()  # the idiom of multiprocessing: only this process's handle
    for number in range(50):
        here.send(number)
    assert [here.recv() for _ in range(50)] == [2 * number for number in range(50)]
    here.close()
    joined([process])


def _send_some(connection, count):
    with connection:
        for number in range(count):
            connection.send(number)


@pytest.mark.parametrize("method", METHODS)
def test_reader_gets_all_that_was_sent_and_then_the_end(method):
    reader, writer = Pipe(duplex=False)
    process = start(method, _send_some, writer, 20)
    got = []
    with pytest.raises(EOFError):
        while True:
            got.append(reader.recv())
    assert got == list(range(20))
    joined([process])
    assert reader.poll(), "the end can be read again and again"
    with pytest.raises(EOFError):
        reader.recv_bytes()


def _send_until_broken(connection):
    try:
        while True:
            connection.send("x")
            time.sleep(0.005)
    except BrokenPipeError:
        return


@pytest.mark.parametrize("method", METHODS)
def test_writer_hears_that_the_reader_has_closed(method):
    reader, writer = Pipe(duplex=False)
    process = start(method, _send_until_broken, writer)
    assert reader.recv() == "x"
    reader.close()
    joined([process])


def test_waiting_reader_is_woken_by_the_end_at_once():
    reader, writer = Pipe(duplex=False)
    outcome = []

    def read():
        try:
            reader.recv()
        except EOFError:
            outcome.append(time.monotonic())

    thread = threading.Thread(target=read)
    thread.start()
    time.sleep(0.2)
    began = time.monotonic()
    writer.close()
    thread.join(60)
    assert outcome[0] - began < 30


def test_two_waiting_readers_get_one_message_and_the_end():
    reader, writer = Pipe(duplex=False)
    outcome = []

    def read():
        try:
            outcome.append(reader.recv())
        except EOFError:
            outcome.append("end")

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    writer.send("message")
    writer.close()
    for thread in threads:
        thread.join(10)
    assert sorted(outcome) == ["end", "message"]


def test_two_sides_that_make_it_by_name_are_connected(client):
    mine, _ = Pipe(name="wire")
    _, theirs = Pipe(name="wire")
    mine.send(1)
    assert client.pttl("interlock:{wire}:back") == -1 or client.pttl("interlock:{wire}") == -1
    assert theirs.recv() == 1
    theirs.send(2)
    assert mine.recv() == 2
    mine.unlink()


# --- the contract of multiprocessing ---


@BOTH
def test_poll_waits_and_takes_nothing(make):
    reader, writer = make(False)
    assert reader.poll() is False
    began = time.monotonic()
    assert reader.poll(0.2) is False
    assert time.monotonic() - began >= 0.19
    thread = threading.Timer(0.1, writer.send, ["x"])
    thread.start()
    assert reader.poll(10) is True
    assert reader.poll() is True
    assert reader.poll(None) is True
    assert reader.recv() == "x"
    assert reader.poll() is False
    thread.join()


@BOTH
def test_bytes_are_sent_in_parts_and_wrong_parts_are_refused(make):
    reader, writer = make(False)
    writer.send_bytes(b"abcdef", 2)
    writer.send_bytes(bytearray(b"abcdef"), 1, 3)
    writer.send_bytes(memoryview(b""))
    assert [reader.recv_bytes(), reader.recv_bytes(3), reader.recv_bytes()] == [b"cdef", b"bcd", b""]
    for arguments in ((-1,), (7,), (0, -1), (3, 4)):
        with pytest.raises(ValueError, match=r"negative|buffer length"):
            writer.send_bytes(b"abcdef", *arguments)
    with pytest.raises(TypeError):
        writer.send_bytes("text")
    with pytest.raises(ValueError, match="negative maxlength"):
        reader.recv_bytes(-1)


@BOTH
@pytest.mark.parametrize("duplex", [True, False])
def test_message_longer_than_allowed_ends_the_reading(make, duplex):
    reader, writer = make(duplex)
    writer.send_bytes(b"abcdef")
    with pytest.raises(OSError, match="bad message length"):
        reader.recv_bytes(5)
    assert reader.closed == (not duplex)
    if duplex:
        assert not reader.readable
        with pytest.raises(OSError, match="write-only"):
            reader.recv()


@BOTH
def test_one_way_pipe_sends_one_way_only(make):
    reader, writer = make(duplex=False)
    assert (reader.readable, reader.writable, writer.readable, writer.writable) == (True, False, False, True)
    with pytest.raises(OSError, match="read-only"):
        reader.send(1)
    for call in (writer.recv, writer.recv_bytes, writer.poll):
        with pytest.raises(OSError, match="write-only"):
            call()


@BOTH
def test_closed_end_refuses_and_the_other_hears_of_it(make):
    here, there = make()
    there.send("last")
    with there as same:
        assert same is there
    assert there.closed
    there.close()
    for call in (there.recv, there.recv_bytes, there.poll, lambda: there.send(1), lambda: there.send_bytes(b"")):
        with pytest.raises(OSError, match="handle is closed"):
            call()
    assert here.poll()
    assert here.recv() == "last"
    assert here.poll()
    with pytest.raises(EOFError):
        here.recv()
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        here.send(1)
    here.close()
    assert here.closed


# --- what is ours ---


def test_end_closed_by_another_that_has_it_is_closed_for_all():
    here, there = Pipe()
    copy = pickle.loads(pickle.dumps(there))
    here.send(1)
    assert copy.recv() == 1
    copy.close()
    for call in (there.recv, lambda: pickle.loads(pickle.dumps(copy)).send(1)):
        with pytest.raises(OSError, match="was closed by another"):
            call()
    assert there.closed


@pytest.mark.parametrize("used", [False, True])
def test_end_that_was_passed_on_is_closed_by_who_used_it(used):
    here, there = Pipe()
    copy = pickle.loads(pickle.dumps(there))
    if used:
        there.send("used")
        assert here.recv() == "used"
    there.close()
    assert there.closed
    if used:
        with pytest.raises(EOFError):
            here.recv()
    else:
        copy.send("open")
        assert here.recv() == "open"


def test_json_and_bytes_are_told_apart_and_other_things_refused():
    here, there = Pipe()
    here.send({"a": [1, None]})
    here.send(b"raw")
    here.send("text")
    assert there.recv() == {"a": [1, None]}
    assert there.recv() == b"raw"
    assert json.loads(there.recv_bytes()) == "text"
    with pytest.raises(TypeError, match="an item is what JSON holds"):
        here.send({1, 2})
    with pytest.raises(ValueError, match="an item may have"):
        here.send_bytes(b"x" * (2**20 + 1))
    assert not there.poll()


def test_pickles_are_unpickled_only_by_an_end_that_asked():
    here, there = Pipe(pickle=True)
    arrived = pickle.loads(pickle.dumps(there))
    here.send({1, 2})
    assert arrived.poll()
    with pytest.raises(interlock.InterlockError, match="ask for pickle=True"):
        arrived.recv()
    assert there.recv() == {1, 2}
    here.send({3})
    assert pickle.loads(arrived.recv_bytes()) == {3}


def test_ends_pass_through_pickle_and_json_by_name():
    interlock.register_with_kombu()
    here, there = Pipe()
    content_type, encoding, data = dumps({"args": [there]}, serializer="json")
    for arrived in (pickle.loads(pickle.dumps(there)), loads(data, content_type, encoding)["args"][0]):
        assert type(arrived) is Connection
        assert arrived.parameters() == there.parameters()
        here.send(1)
        assert arrived.recv() == 1
        arrived.send(2)
        assert here.recv() == 2


def test_name_taken_by_another_kind_is_refused():
    here, there = Pipe(name="taken", ttl=60)
    there.send(1)
    with pytest.raises(interlock.NameTakenError, match="is a Pipe already"):
        interlock.Lock(name="taken").acquire()
    with pytest.raises(interlock.NameTakenError, match="is a Lock already"), interlock.Lock(name="a lock"):
        Pipe(name="a lock", ttl=60)[1].send(1)
    assert here.recv() == 1


def test_arguments_that_cannot_be_are_refused_in_one_line():
    for options, error in (
        ({"duplex": "no"}, TypeError),
        ({"ttl": 0}, ValueError),
        ({"name": "{"}, ValueError),
        ({"pickle": 1}, TypeError),
        ({"client": 1}, TypeError),
    ):
        with pytest.raises(error) as raised:
            Pipe(**options)
        assert "\n" not in str(raised.value)


def test_statistics_say_what_waits_and_what_is_closed():
    here, there = Pipe()
    here.send(1)
    here.send(2)
    there.send(3)
    seen = here.statistics()
    assert (seen.incoming, seen.outgoing, seen.closed, seen.other_closed) == (1, 2, False, False)
    there.close()
    seen = here.statistics()
    assert (seen.incoming, seen.outgoing, seen.closed, seen.other_closed) == (1, 0, False, True)
    assert there.statistics().closed


def test_named_pipe_is_kept_while_one_end_is_closed_and_expires_with_both(client):
    here, there = Pipe(name="kept")
    keys = "interlock:{kept}", "interlock:{kept}:back"
    here.send(1)
    there.close()
    assert [client.pttl(key) for key in keys] == [-1, -1]
    here.close()
    assert all(0 < client.pttl(key) <= 86_400_000 for key in keys)
    assert not client.exists(*(f"{key}:items" for key in keys))
    assert here.closed


def test_nothing_is_left_after_unlink(client):
    here, there = Pipe(name="gone")
    here.send(1)
    there.send(2)
    there.unlink()
    left = [key for key in client.keys("interlock:{gone}*") if ":done:" not in key]
    assert left == []
    again, _ = Pipe(name="gone", ttl=60)
    assert not again.poll()


def test_reader_that_polls_does_not_keep_a_message_from_the_next():
    reader, writer = Pipe(duplex=False)
    outcome = []
    threads = [
        threading.Thread(target=lambda: outcome.append(reader.poll(10))),
        threading.Thread(target=lambda: outcome.append(reader.recv())),
    ]
    for thread in threads:
        thread.start()
        time.sleep(0.1)
    writer.send("message")
    began = time.monotonic()
    for thread in threads:
        thread.join(10)
    wait_until(lambda: len(outcome) == 2)
    assert time.monotonic() - began < 9, "and not when the poll gives up"
    assert set(outcome) == {True, "message"}
