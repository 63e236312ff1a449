"""Worker processes that sell the last items, and what befalls them at the worst moments."""

import asyncio
import multiprocessing
import os
import signal
from contextlib import ExitStack, asynccontextmanager
from functools import partial

import psutil
from mariadb_server import asked
from peers import peers, plain, wait_until

from tasks import stock
from tasks.stock import mariadb

START = multiprocessing.get_start_method()
CHECKED_AT_THE_WRITE_ALONE = stock.SEE.replace("SET token = %s", "SET token = token + 0 * %s")
doing = ""  # the order that this process is at


def way_of(way, lock):
    """The arguments of `sell`; the broken twin of the fenced way checks the token only when it writes."""
    if way == "half fenced":
        stock.SEE = CHECKED_AT_THE_WRITE_ALONE
    return {"lock": None if way == "unlocked" else lock, "fenced": way.endswith("fenced")}


def buy(item, order, lock, way, meanwhile):
    """One sale, and its end noted."""
    number = asyncio.run(stock.sell(item, order, partial(meanwhile, order), **way_of(way, lock)))
    with plain() as note:
        note.hset("ends", order, str(number))


# --- what a holder does between reading and writing ---


async def at_once(order):
    pass


async def pause(order):
    await asyncio.sleep(0.02)


async def wait_for_all(order, parties=20):
    """Nobody writes before all have read."""
    with plain() as note:
        note.incr("readers")
        wait_until(lambda: int(note.get("readers")) == parties)


async def wait_for_leave(order):
    with plain() as note:
        note.rpush("read", order)
        wait_until(lambda: note.exists("go on"))


async def be_stopped(order):
    """SIGSTOP, the first time."""
    if first_time(order):
        os.kill(os.getpid(), signal.SIGSTOP)


def first_time(order):
    with plain() as note:
        return note.hincrby("looks", order, 1) == 1


# --- many workers, with stops and kills ---


async def suffer(order):
    """What the order's name says, the first time, with what was read in hand."""
    if order.startswith("stopped") and first_time(order):
        os.kill(os.getpid(), signal.SIGSTOP)
    elif order.startswith("killed inside") and first_time(order):
        os.kill(os.getpid(), signal.SIGKILL)
    else:
        await pause(order)


@asynccontextmanager
async def fatal_transaction(connected, real=mariadb.transaction):
    """As the real one; some processes don't come to its second statement, or late."""
    async with real(connected) as cursor:
        execute = cursor.execute

        async def suffer_then(*statement):
            found = await execute(*statement)
            if doing.startswith("killed amid the transaction") and first_time(doing):
                os.kill(os.getpid(), signal.SIGKILL)
            if doing.startswith("frozen amid the transaction") and first_time(doing):
                os.kill(os.getpid(), signal.SIGSTOP)
            return found

        cursor.execute = suffer_then
        yield cursor


def work(item, lock, way):
    """Sell, order after order, as a worker does: an order is taken, done, and only then forgotten."""
    mariadb.transaction = fatal_transaction
    asyncio.run(_work(item, way_of(way, lock)))


async def _work(item, options):
    global doing
    with plain() as note:
        while doing := note.lpop("orders"):
            note.hset("taken", os.getpid(), doing)
            await stock.sell(item, doing, partial(suffer, doing), **options)
            if doing.startswith("killed after the sale") and first_time(doing):
                os.kill(os.getpid(), signal.SIGKILL)
            note.hdel("taken", os.getpid())


class Shop:
    """Workers on one item. What they were at when they died is delivered again, and another one starts."""

    def __init__(self, url, item, lock, way):
        self.url, self.item, self.lock, self.way = url, item, lock, way
        self.stopped = {}  # process -> how many had been sold
        self.stops = self.kills = 0

    def run(self, workers, within=60.0):
        with ExitStack() as all_of_them, plain() as note:

            def start(count):
                arguments = [(self.item, self.lock, self.way)] * count
                return all_of_them.enter_context(peers(work, arguments, start=START))

            running = list(start(workers))

            def look():
                for process in [each for each in running if not each.is_alive()]:
                    running.remove(process)
                    order = note.hget("taken", process.pid)
                    assert process.exitcode == (-signal.SIGKILL if order else 0)
                    if order:
                        self.kills += 1
                        note.hdel("taken", process.pid)
                        note.lpush("orders", order)
                        running.extend(start(1))
                for process in running:
                    self.continue_when_too_late(process, note.hget("taken", process.pid))
                return not running

            wait_until(look, within=within, what="the end of all workers")

    def continue_when_too_late(self, process, order):
        """A stopped process goes on when others have sold; one that is in its transaction when another has the lock."""
        if not order or not order.startswith(("stopped", "frozen")) or not is_stopped(process.pid):
            self.stopped.pop(process, None)
            return
        sold = self.sold()
        if self.stopped.setdefault(process, sold) == sold and not (
            order.startswith("frozen") and self.held_by_another(process.pid)
        ):
            return
        self.stops += 1
        os.kill(process.pid, signal.SIGCONT)
        wait_until(lambda: not is_stopped(process.pid))

    def sold(self):
        return asked(self.url, "SELECT COUNT(*) FROM orders WHERE item = %s", self.item)[0][0]

    def held_by_another(self, pid):
        return any(f":{pid}" not in str(holder) for holder in self.lock.statistics().holders)


def is_stopped(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.NoSuchProcess:
        return False
