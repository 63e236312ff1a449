"""Separate processes that use a primitive, as tests need them: started, watched, stopped and killed from outside."""

import multiprocessing
import os
import signal
import time
from contextlib import contextmanager

import redis
from mutants import twins

SPAWN = multiprocessing.get_context("spawn")


def plain():
    return redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)


def written(client):
    """All keys, but those by which kombu knows its queues: a worker of an earlier test may write these as it ends."""
    return [key for key in client.keys("*") if not key.startswith("_kombu.binding")]


def wait_until(condition, within=60.0, what="the condition"):
    """Poll a condition until it holds; its value. The time bounds failure alone: a busy machine is slow."""
    until = time.monotonic() + within
    while not (value := condition()):
        assert time.monotonic() < until, f"{what} did not hold within {within} s"
        time.sleep(0.005)
    return value


def _main(twin, function, arguments):
    twins.break_it(twin)
    function(*arguments)


@contextmanager
def peers(function, argument_lists, twin=None, start=None):
    """Processes that each run the function; whatever is left of them is killed at the end."""
    context = multiprocessing.get_context(start) if start else SPAWN
    started = [context.Process(target=_main, args=(twin, function, arguments)) for arguments in argument_lists]
    for process in started:
        process.start()
    try:
        yield started
    finally:
        for process in started:
            if process.is_alive():
                os.kill(process.pid, signal.SIGCONT)
                process.kill()
            process.join()


def joined(processes, within=120.0):
    """Wait for all to end well."""
    until = time.monotonic() + within
    for process in processes:
        process.join(max(0.0, until - time.monotonic()))
        assert process.exitcode == 0, f"{process} ended with {process.exitcode}"


# --- what the processes do ---


def go_through(thing, parties, sections, stay):
    """So many sections, with a note of how many were inside at once and of the tokens, in order of entry.

    All parties begin together: a process that starts late would find nobody to compete with.
    """
    with plain() as note:
        note.incr("ready")
        wait_until(lambda: int(note.get("ready")) == parties, what="the start of all")
        for _ in range(sections):
            with thing:
                inside = note.incr("inside")
                note.rpush("seen", inside)
                if hasattr(thing, "token"):
                    note.rpush("tokens", thing.token or 0)
                time.sleep(stay)
                note.decr("inside")


def hold(thing, mark, stay=3600.0):
    """Acquire, say so, and stay inside."""
    thing.acquire()
    with plain() as note:
        note.rpush("entered", mark)
    time.sleep(stay)


def pass_through(thing, mark):
    """Acquire, say so, release."""
    with thing, plain() as note:
        note.rpush("entered", mark)


def write_after_a_pause(value, new):
    """Enter a section, be stopped there past the lease, write, and say how the release ended."""
    from interlock import LeaseLostError

    with plain() as note:
        try:
            with value.get_lock():
                value.value = new
                note.rpush("entered", os.getpid())
                note.blpop("go on", timeout=60)
        except LeaseLostError:
            note.rpush("outcome", "lost")
        else:
            note.rpush("outcome", "written")


def listening(session):
    """A session that hears what is published for it."""
    session.run(session.checked())
    session.run(session.inbox.listen(10))
    return session


def replicated(master, replica):
    """Wait until the replica has all that its master has now. WAIT looks at the writes of its own connection alone."""
    offset = master.info("replication")["master_repl_offset"]
    wait_until(lambda: replica.info("replication").get("slave_repl_offset", -1) >= offset, what="the replica's copy")
