"""Two buyers want the last item at once: with no lock, with one, and with its token checked by the database.

Run:      make up, with INTERLOCK_MARIADB_URL=mysql://user:password@host:port/database; then: python -m examples.stock
You see:  -1 left without a lock, and 0 with one; -1 again with a holder that is stopped past its lease, as it reads
          before another buyer and writes after it; and 0 when the UPDATE's WHERE looks at the token.
Caveat:   break_lock stands for a holder that is stopped past its lease; the tests stop and kill real workers.
"""

import time
import uuid

from celery import group

import interlock
from examples._claims import the_token_is_needed
from examples._runner import conclude
from tasks import put_on_sale, read_stock, sell_fenced, sell_unlocked, sell_with_lock, watch

if __name__ == "__main__":
    left, runs, lock = [], [], interlock.Lock()
    for sell, stopped in ((sell_unlocked, False), (sell_with_lock, False), (sell_with_lock, True), (sell_fenced, True)):
        item = f"the last one {uuid.uuid4().hex[:8]}"
        watch(put_on_sale.delay(item, 1))
        sale = sell.s(item, pause=1.0) if sell is sell_unlocked else sell.s(item, lock, pause=1.0)
        sales = group(sale, sale).delay()
        if stopped:
            while not (lock.statistics().waiters or sales.ready()):
                time.sleep(0.02)
            lock.break_lock()  # the second buyer gets the lock, and the first does not know
        runs += watch(sales)[0]
        left.append(watch(read_stock.delay(item))[0]["stock"])
        print(f"{sell.name.partition('.sell_')[2]:<12} {'holder stopped' if stopped else '':<16} left: {left[-1]}")
    conclude(the_token_is_needed(left, runs))
