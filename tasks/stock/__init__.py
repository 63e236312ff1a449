"""Selling the last items, out of a MariaDB: fencing at a resource that knows nothing of our locks. Queue `aio`.

A sale reads how many are left, decides, does something slow in between (here a pause; in a shop, a call to whoever
takes the money), and writes. Three ways:

`sell_unlocked`: two read the same number and both sell it. The stock goes below zero.

`sell_with_lock`: one at a time, as long as the holder is heard. A holder that is stopped past its lease (a suspended
machine, a container that is paused, a process that gets no memory) does not know it. The lock goes to the next one, as
it must; then the first wakes up and writes what it had decided long ago: that item is sold twice. No lock can prevent
that, and asking `lock.lost` before the write does not: it may be stopped between the question and the write. Only the
one who stores the write can refuse it.

`sell_fenced`: so the table refuses. Each grant of the lock has a higher token than all before; the item's row keeps
the highest that it has seen, and nothing changes it under a lower one:

    enter   UPDATE items SET token = T WHERE id = I AND token <= T
    read    SELECT stock FROM items WHERE id = I
    write   UPDATE items SET stock = stock - 1, token = T WHERE id = I AND token <= T

No row found: a later holder was here, so the lease was lost, and nothing is written. Don't leave out the first
statement: who wakes up after the next one's read, and before its write, would else be let in, and sell what that one
is about to sell. It makes the old holder's write fail from the moment on at which the new one looks.

The order and the change of the stock are one transaction. The order's key is the task's id, so that a task that is
delivered again, or twice at once, sells once, in all three ways. What was done in between is not undone when the table
refuses, and may be done again: pass the order's key on to that, too.

If all that is decided stands in one database, you need no lock of ours: `UPDATE ... WHERE stock > 0` does it, or
`SELECT ... FOR UPDATE`, for as long as a transaction may stay open. Lock and token are for what reaches beyond it.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import Any

from pymysql.err import IntegrityError

from interlock import LeaseLostError, Lock, aio
from tasks.celery_app import app, checks
from tasks.celery_app.base import Task
from tasks.celery_app.message import id_of_call
from tasks.stock import mariadb
from tasks.support.output import place

STOCK_MAX = 1_000_000
ENTRIES_MAX = 10  # of one sale, each after a lost lease
AWAY = (ConnectionError,)  # a MariaDB that is away is asked again, three times, a second apart

SEE = "UPDATE items SET token = %s WHERE id = %s AND token <= %s"
READ = "SELECT stock FROM items WHERE id = %s"
WRITE = "UPDATE items SET stock = stock - 1 WHERE id = %s"
WRITE_FENCED = "UPDATE items SET stock = stock - 1, token = %s WHERE id = %s AND token <= %s"
ORDER = "INSERT INTO orders (id, item, number, token) VALUES (%s, %s, %s, %s)"
ORDERED = "SELECT number FROM orders WHERE id = %s"


def _check_item(item: str) -> None:
    if item is not checks.LATER and not (isinstance(item, str) and 1 <= len(item) <= 100):
        raise ValueError(f"item must be the name of an item, 1 to 100 characters, not {item!r}")


def _check_stock(item: str, stock: int) -> None:
    _check_item(item)
    checks.whole_number("stock", stock, 0, STOCK_MAX)


def _check_sale(item: str, pause: float) -> None:
    _check_item(item)
    checks.pause_seconds(pause)


def _check_locked_sale(item: str, lock: Lock, pause: float) -> None:
    _check_sale(item, pause)
    checks.instance("lock", lock, Lock)


async def sell(
    item: str, order: str, meanwhile: Callable[[], Awaitable[None]], lock: Lock | None = None, *, fenced: bool = False
) -> int | None:
    """Sell one of an item.

    Args:
        item: its name.
        order: the idempotency key: an order that is there already is not made again.
        meanwhile: what is done between reading and writing.
        lock: the one lock of this item, if it is taken.
        fenced: whether its token is checked.

    Returns:
        The number of what was sold: n of the n that were left; None: nothing was left.

    Raises:
        LookupError: there is no such item.
        interlock.LeaseLostError: lost its lease ten times.
        ConnectionError: MariaDB does not answer.
        interlock.UnreachableError: Redis does not.
    """
    held = aio.Lock.of(lock) if lock is not None else None
    entries = 0
    while True:
        entries += 1
        try:
            async with held or nullcontext():
                token = held.token if held is not None and fenced else None
                if fenced and token is None:
                    raise LeaseLostError("lost before it was used")
                number = await _left(item, order, token)
                if number > 0 and not await _ordered(order):
                    await meanwhile()
                    await _write(item, order, number, token)
                return await _ordered(order)
        except LeaseLostError:  # perhaps after the write: then the order is found
            if entries == ENTRIES_MAX:
                raise


async def _left(item: str, order: str, token: int | None) -> int:
    """How many there are; the row refuses lower tokens from now on."""
    async with mariadb.connection() as connection, connection.cursor() as cursor:
        seen = token is None or await cursor.execute(SEE, (token, item, token))
        await cursor.execute(READ, (item,))
        found = await cursor.fetchone()
        if found is None:
            raise LookupError(f"there is no item {item!r}: enqueue put_on_sale first")
        if not seen:
            raise LeaseLostError(f"order {order}: a later holder has been at {item!r}")
        return int(found[0])


async def _write(item: str, order: str, number: int, token: int | None) -> None:
    """The stock and the order, or neither. The stock first: a row that is locked to be changed is locked once."""
    async with mariadb.connection() as connection:
        try:
            async with mariadb.transaction(connection) as cursor:
                if token is None:
                    await cursor.execute(WRITE, (item,))
                elif not await cursor.execute(WRITE_FENCED, (token, item, token)):
                    raise LeaseLostError(f"order {order}: a later holder has been at {item!r}, nothing was written")
                await cursor.execute(ORDER, (order, item, number, token))
        except IntegrityError:
            if not await _ordered(order):  # else another run of this task was first
                raise


async def _ordered(order: str) -> int | None:
    """The number that the order has got, if there is such an order."""
    async with mariadb.connection() as connection, connection.cursor() as cursor:
        await cursor.execute(ORDERED, (order,))
        found = await cursor.fetchone()
        return int(found[0]) if found else None


async def _run(task: Task, item: str, pause: float, lock: Lock | None = None, **options: bool) -> dict[str, Any]:
    order = id_of_call(task, item) or uuid.uuid4().hex
    number = await sell(item, order, lambda: asyncio.sleep(pause), lock, **options)
    return {**place(), "order": order, "number": number}


@app.task(bind=True, queue="aio", check=_check_sale, autoretry_for=AWAY)
async def sell_unlocked(self: Task, item: str, pause: float = 0.1) -> dict[str, Any]:
    """Sell one of an item without a lock: read, wait so many seconds, write. Returns its number, or None."""
    return await _run(self, item, pause)


@app.task(bind=True, queue="aio", check=_check_locked_sale, autoretry_for=AWAY)
async def sell_with_lock(self: Task, item: str, lock: Lock, pause: float = 0.1) -> dict[str, Any]:
    """Sell one of an item under its lock: right unless a holder is stopped past its lease. Returns as sell_unlocked."""
    return await _run(self, item, pause, lock)


@app.task(bind=True, queue="aio", check=_check_locked_sale, autoretry_for=AWAY)
async def sell_fenced(self: Task, item: str, lock: Lock, pause: float = 0.1) -> dict[str, Any]:
    """Sell one of an item under its lock, whose token the table checks: always right. Returns as sell_unlocked."""
    return await _run(self, item, pause, lock, fenced=True)


@app.task(queue="aio", check=_check_stock, autoretry_for=AWAY)
async def put_on_sale(item: str, stock: int) -> None:
    """Offer so many of an item. Does nothing if there is such an item already."""
    async with mariadb.connection() as connection, connection.cursor() as cursor:
        offer = "INSERT INTO items (id, stock) VALUES (%s, %s) ON DUPLICATE KEY UPDATE id = id"
        await cursor.execute(offer, (item, stock))


@app.task(queue="aio", check=_check_item, autoretry_for=AWAY)
async def read_stock(item: str) -> dict[str, Any]:
    """What is left of an item, and the numbers that were sold, in order: a number that comes twice was sold twice."""
    async with mariadb.connection() as connection, connection.cursor() as cursor:
        await cursor.execute(READ, (item,))
        found = await cursor.fetchone()
        if found is None:
            raise LookupError(f"there is no item {item!r}: enqueue put_on_sale first")
        await cursor.execute("SELECT number FROM orders WHERE item = %s ORDER BY number", (item,))
        return {"stock": int(found[0]), "sold": [int(number) for (number,) in await cursor.fetchall()]}
