"""Sales of the last items out of a MariaDB: fencing at a resource that knows nothing of our locks. Queue `aio`.

A sale reads how many items are left, decides, does something slow (here it pauses; in a shop it calls the payment
service), and writes. There are three ways:

`sell_unlocked`: two tasks read the same number, and both sell that item. The stock goes below zero.

`sell_with_lock`: one task sells at a time, as long as the holder renews its lease. A holder that is stopped past its
lease (a suspended machine, a paused container, a process that gets no memory) does not notice. The lock goes to the
next task, as it must. Then the first holder wakes up and writes what it decided long ago: that item is sold twice. No
lock can prevent that. A look at `lock.lost` before the write does not help either, for the holder may be stopped
between the look and the write. Only the database, which stores the write, can refuse it.

`sell_fenced`: the table refuses. Each grant of the lock has a higher fencing token than all grants before. The item's
row keeps the highest token that it has seen, and no statement with a lower token changes the row:

    enter   UPDATE items SET token = T WHERE id = I AND token <= T
    read    SELECT stock FROM items WHERE id = I
    write   UPDATE items SET stock = stock - 1, token = T WHERE id = I AND token <= T

If an UPDATE finds no row, a later holder was here: the lease was lost, and the task writes nothing. Do not leave out
the first statement. From the moment when the new holder enters, it makes the old holder's write fail. Without it, an
old holder that wakes up after the new holder's read and before its write would sell the same item.

One transaction stores the order and the change of the stock. The order's key is the task's id, so a task that is
delivered again, or twice at once, sells one item, in all three ways. If the table refuses, the slow work before the
write is not undone, and the task may do it again: pass the order's key on to that work, too.

If one database holds all that the task decides on, you need no lock of ours: `UPDATE ... WHERE stock > 0` is enough, or
`SELECT ... FOR UPDATE`, for as long as a transaction may stay open. The lock and its token are for work that reaches
beyond that database.
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
ENTRIES_MAX = 10  # attempts of one sale, each but the first after a lost lease
AWAY = (ConnectionError,)  # Celery runs the task again, three times, a second apart, if MariaDB is away

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
    """Sell one piece of an item.

    Args:
        item: the item's name.
        order: the idempotency key: an order with this key is made once.
        meanwhile: the slow work between the read and the write.
        lock: the lock of this item; None: sell without it.
        fenced: whether the table checks the lock's token.

    Returns:
        The number of the piece that was sold: n, if n were left; None: no piece was left.

    Raises:
        LookupError: there is no such item.
        interlock.LeaseLostError: the task lost its lease ten times.
        ConnectionError: MariaDB does not answer.
        interlock.UnreachableError: Redis does not answer.
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
        except LeaseLostError:  # perhaps after the write: then the next round finds the order
            if entries == ENTRIES_MAX:
                raise


async def _left(item: str, order: str, token: int | None) -> int:
    """Return how many pieces are left. From now on the row refuses lower tokens."""
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
    """Store the new stock and the order, or neither. The stock comes first, so that its row is locked once."""
    async with mariadb.connection() as connection:
        try:
            async with mariadb.transaction(connection) as cursor:
                if token is None:
                    await cursor.execute(WRITE, (item,))
                elif not await cursor.execute(WRITE_FENCED, (token, item, token)):
                    raise LeaseLostError(f"order {order}: a later holder has been at {item!r}, nothing was written")
                await cursor.execute(ORDER, (order, item, number, token))
        except IntegrityError:
            if not await _ordered(order):  # an order that is there comes from another run of this task
                raise


async def _ordered(order: str) -> int | None:
    """Return the number that the order got, or None if there is no such order."""
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
    """Sell one piece without a lock: read, pause for some seconds, write. Returns the piece's number, or None."""
    return await _run(self, item, pause)


@app.task(bind=True, queue="aio", check=_check_locked_sale, autoretry_for=AWAY)
async def sell_with_lock(self: Task, item: str, lock: Lock, pause: float = 0.1) -> dict[str, Any]:
    """Sell one piece under its lock: right unless a holder is stopped past its lease. Returns as sell_unlocked."""
    return await _run(self, item, pause, lock)


@app.task(bind=True, queue="aio", check=_check_locked_sale, autoretry_for=AWAY)
async def sell_fenced(self: Task, item: str, lock: Lock, pause: float = 0.1) -> dict[str, Any]:
    """Sell one piece under the item's lock, whose token the table checks: always right. Returns as sell_unlocked."""
    return await _run(self, item, pause, lock, fenced=True)


@app.task(queue="aio", check=_check_stock, autoretry_for=AWAY)
async def put_on_sale(item: str, stock: int) -> None:
    """Offer `stock` pieces of an item. Does nothing if there is such an item already."""
    async with mariadb.connection() as connection, connection.cursor() as cursor:
        offer = "INSERT INTO items (id, stock) VALUES (%s, %s) ON DUPLICATE KEY UPDATE id = id"
        await cursor.execute(offer, (item, stock))


@app.task(queue="aio", check=_check_item, autoretry_for=AWAY)
async def read_stock(item: str) -> dict[str, Any]:
    """Return what is left of an item, and the numbers sold, in order: a number that comes twice was sold twice."""
    async with mariadb.connection() as connection, connection.cursor() as cursor:
        await cursor.execute(READ, (item,))
        found = await cursor.fetchone()
        if found is None:
            raise LookupError(f"there is no item {item!r}: enqueue put_on_sale first")
        await cursor.execute("SELECT number FROM orders WHERE item = %s ORDER BY number", (item,))
        return {"stock": int(found[0]), "sold": [int(number) for (number,) in await cursor.fetchall()]}
