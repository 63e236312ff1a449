"""The last items are sold out of a real MariaDB: never too many and none twice, though workers are stopped and killed.

Each way that is not enough fails here, every time, at the very place where it is not enough.
"""

import os
import signal

import buyers
import pytest
from mariadb_server import asked
from peers import joined, peers, wait_until

import interlock
from tasks import stock


@pytest.fixture(autouse=True)
def url(mariadb, monkeypatch):
    monkeypatch.setenv("INTERLOCK_MARIADB_URL", mariadb)
    return mariadb


@pytest.fixture
def offer(url, request):
    """Puts so many on sale, and says how the sale ended: the stock and the numbers that were sold."""
    item = request.node.name

    def put(count):
        buyers.asyncio.run(stock.put_on_sale(item, count))
        return item

    put.end = lambda: tuple(buyers.asyncio.run(stock.read_stock(item)).values())
    return put


def buying(*arguments):
    return peers(buyers.buy, arguments, start=buyers.START)


def test_without_a_lock_the_stock_goes_below_zero(offer):
    item = offer(3)
    with buying(*[(item, f"{item}{n}", None, "unlocked", buyers.wait_for_all) for n in range(20)]) as workers:
        joined(workers)
    assert offer.end() == (-17, [3] * 20)


@pytest.mark.parametrize("way", ["with a lock", "fenced"])
def test_with_a_lock_and_nobody_stopped_each_is_sold_once(offer, way):
    item, lock = offer(5), interlock.Lock()
    with buying(*[(item, f"{item}{n}", lock, way, buyers.pause) for n in range(20)]) as workers:
        joined(workers)
    assert offer.end() == (0, [1, 2, 3, 4, 5])


@pytest.mark.parametrize(
    ("way", "end"), [("with a lock", (-1, [1, 1])), ("half fenced", (0, [1])), ("fenced", (0, [1]))]
)
def test_holder_that_wakes_up_after_the_next_one_has_sold(client, offer, way, end):
    """A lock alone cannot keep it from writing; the table can."""
    item, lock = offer(1), interlock.Lock(lease=1.0)
    with buying((item, f"{item}1", lock, way, buyers.be_stopped)) as (first,):
        wait_until(lambda: buyers.is_stopped(first.pid))
        with buying((item, f"{item}2", lock, way, buyers.at_once)) as second:
            joined(second)
        os.kill(first.pid, signal.SIGCONT)
        joined([first])
    assert offer.end() == end
    assert client.hget("ends", f"{item}2") == "1"
    assert client.hget("ends", f"{item}1") == ("1" if way == "with a lock" else "None")


@pytest.mark.parametrize(
    ("way", "end"), [("with a lock", (-1, [1, 1])), ("half fenced", (-1, [1, 1])), ("fenced", (0, [1]))]
)
def test_holder_that_wakes_up_between_the_next_ones_read_and_write(client, offer, way, end):
    """The token must be in the table from the read on: checked at the write alone it lets the first one in."""
    item, lock = offer(1), interlock.Lock(lease=1.0)
    with buying((item, f"{item}1", lock, way, buyers.be_stopped)) as (first,):
        wait_until(lambda: buyers.is_stopped(first.pid))
        with buying((item, f"{item}2", lock, way, buyers.wait_for_leave)) as (second,):
            wait_until(lambda: client.exists("read"))
            os.kill(first.pid, signal.SIGCONT)
            # it has written and is done, or was refused and asks for the lock again
            wait_until(lambda: not first.is_alive() or lock.statistics().waiters)
            client.set("go on", 1)
            joined([first, second])
    assert offer.end() == end


MISFORTUNES = {
    "stopped": 2,
    "frozen amid the transaction": 1,
    "killed inside": 2,
    "killed amid the transaction": 2,
    "killed after the sale": 2,
}


@pytest.mark.parametrize("way", ["fenced", "with a lock"])
def test_twenty_workers_that_are_stopped_and_killed(client, url, offer, way):
    """Each item is sold once; with the lock alone, what a stopped holder had in hand is sold twice."""
    items = 30
    item, lock = offer(items), interlock.Lock(lease=0.6)
    misfortunes = MISFORTUNES if way == "fenced" else {"stopped": 2}
    ids = [f"{what} {n} {item}" for what, count in misfortunes.items() for n in range(count)]
    ids += [f"twice {n // 2} {item}" for n in range(20)]
    client.rpush("orders", *ids, *(f"plain {n} {item}" for n in range(25)))
    shop = buyers.Shop(url, item, lock, way)
    shop.run(workers=20)

    asked_for = misfortunes.items()
    assert shop.stops == sum(count for what, count in asked_for if what.startswith(("stopped", "frozen")))
    assert shop.kills == sum(count for what, count in asked_for if what.startswith("killed"))
    left, sold = offer.end()
    assert len(sold) == items - left, "stock and orders are changed together"
    assert (left, sold) == (0, list(range(1, items + 1))) if way == "fenced" else len(set(sold)) < len(sold)
    twice = asked(url, "SELECT COUNT(*) FROM orders WHERE item = %s AND id LIKE 'twice%%'", item)[0][0]
    assert 0 < twice <= 10


@pytest.mark.parametrize(
    ("enqueue", "error", "text"),
    [
        (lambda: stock.put_on_sale.delay("", 1), ValueError, "item must be the name of an item, 1 to 100 characters"),
        (lambda: stock.put_on_sale.delay("x", -1), ValueError, "stock must be a whole number from 0 to 1,000,000"),
        (lambda: stock.read_stock.delay(7), ValueError, "item must be the name of an item"),
        (lambda: stock.sell_unlocked.delay("x", pause=-1), ValueError, "pause must be 0 to 60 seconds"),
        (lambda: stock.sell_with_lock.delay("x", "lock"), TypeError, "lock must be an interlock.Lock, not 'lock'"),
        (lambda: stock.sell_fenced.delay("x" * 101, interlock.Lock()), ValueError, "item must be the name of an item"),
    ],
)
def test_wrong_argument_is_an_error_in_the_producer(client, enqueue, error, text):
    with pytest.raises(error, match=text):
        enqueue()
    assert not client.exists("aio", "cpu", "io")
