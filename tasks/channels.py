"""Items that go from one task to another, on any machine: through a Queue, and through a Pipe.

The tasks that put or send run on queue `io`, those that get or receive on queue `cpu`: in different processes.
"""

import queue
from typing import Any

from interlock import Connection, Queue
from tasks.celery_app import app, checks
from tasks.support.output import place, say
from tasks.support.patience import PATIENCE, waited_in_vain

ITEMS_MAX = 10_000


def _check_queue(channel: Queue) -> None:
    checks.instance("channel", channel, Queue)


def _check_put(channel: Queue, items: int) -> None:
    _check_queue(channel)
    checks.whole_number("items", items, 0, ITEMS_MAX)


@app.task(queue="io", check=_check_put)
def put_items(channel: Queue, items: int) -> dict[str, Any]:
    """Put `items` numbers, from 0 on, then None as the end. Returns where the task ran."""
    try:
        for item in range(items):
            channel.put(item, timeout=PATIENCE)
            say(f"Put {item}")
        channel.put(None, timeout=PATIENCE)
    except queue.Full:
        raise waited_in_vain("for room in the queue: nobody got an item", "cpu") from None
    return place()


@app.task(queue="cpu", check=_check_queue)
def get_items(channel: Queue) -> dict[str, Any]:
    """Get items until None comes. Returns where the task ran, and the items."""
    got = []
    try:
        while (item := channel.get(timeout=PATIENCE)) is not None:
            say(f"Got {item}")
            got.append(item)
    except queue.Empty:
        raise waited_in_vain("for an item in the queue: nobody put one", "io") from None
    return {**place(), "items": got}


def _check_send(writer: Connection, items: int) -> None:
    checks.instance("writer", writer, Connection)
    if writer is not checks.LATER and not writer.writable:
        raise ValueError("writer must be an end of a Pipe that sends, not the one that only receives")
    checks.whole_number("items", items, 0, ITEMS_MAX)


@app.task(queue="io", check=_check_send)
def send_items(writer: Connection, items: int) -> dict[str, Any]:
    """Send `items` numbers, from 0 on, and close this end of the pipe. Returns where the task ran."""
    with writer:
        for item in range(items):
            writer.send(item)
            say(f"Sent {item}")
    return place()


def _check_receive(reader: Connection) -> None:
    checks.instance("reader", reader, Connection)
    if reader is not checks.LATER and not reader.readable:
        raise ValueError("reader must be an end of a Pipe that receives, not the one that only sends")


@app.task(queue="cpu", check=_check_receive)
def receive_items(reader: Connection) -> dict[str, Any]:
    """Receive until the other end is closed. Returns where the task ran, and the items."""
    got = []
    try:
        while reader.poll(PATIENCE):
            got.append(reader.recv())
            say(f"Received {got[-1]}")
    except EOFError:
        return {**place(), "items": got}
    raise waited_in_vain("for a message in the pipe: nobody sent one", "io")
