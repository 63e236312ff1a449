"""The last item is sold to two buyers at once: with no lock, with one, and with its token checked by the database.

Run:      make up, with INTERLOCK_MARIADB_URL=mysql://user:password@host:port/database; then: python -m examples.stock
You see:  -1 left without a lock; 0 with it; -1 again when its holder is away past its lease, reads before and writes
          after another; and 0 when the UPDATE's WHERE looks at the token (tasks/stock/ has the three statements).
Caveat:   break_lock stands for a holder that is stopped past its lease; the tests stop and kill real workers.
"""

import sys
import time
import uuid

from celery import group

import interlock
from examples._verdict import conclude
from tasks import put_on_sale, read_stock, sell_fenced, sell_unlocked, sell_with_lock, watch


def main() -> int:
    left, places, lock = [], [], interlock.Lock()
    for way, stopped in ((sell_unlocked, False), (sell_with_lock, False), (sell_with_lock, True), (sell_fenced, True)):
        item = f"the last one {uuid.uuid4().hex[:8]}"
        watch(put_on_sale.delay(item, 1))
        sale = way.s(item, pause=1.0) if way is sell_unlocked else way.s(item, lock, pause=1.0)
        sales = group(sale, sale).delay()
        if stopped:
            while not (lock.statistics().waiters or sales.ready()):
                time.sleep(0.02)
            lock.break_lock()  # the next one gets it, and the first doesn't know
        places += watch(sales)[0]
        left.append(watch(read_stock.delay(item))[0]["stock"])
        print(f"{way.name.partition('.sell_')[2]:<12} {'holder stopped' if stopped else '':<16} left: {left[-1]}")
    claim = "a lock is not enough when its holder is stopped; its token, looked at by the table, is"
    processes = [(place["host"], place["pid"]) for place in places]
    return conclude(f"left: {left}", claim, left == [-1, 0, -1, 0], tasks=16, processes=processes)


if __name__ == "__main__":
    sys.exit(main())
