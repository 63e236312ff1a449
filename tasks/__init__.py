"""What can be enqueued: all that a producer imports, as in `from tasks import print_square`.

Each module and package here holds tasks, except four: `celery_app` is the app with its machinery, `transport` is how
messages are put, taken and kept, `enqueuing` is how programs enqueue many tasks, `support` is what tasks call. This
package imports all of them, in producers and in workers alike: so nothing lists the modules.
"""

import importlib
import pkgutil

from tasks.bounded_buffer import consume, produce
from tasks.celery_app import app
from tasks.channels import get_items, put_items, receive_items, send_items
from tasks.coroutines import wait
from tasks.counting import (
    decrement_unlocked,
    decrement_value,
    decrement_with_lock,
    increment_unlocked,
    increment_value,
    increment_with_lock,
)
from tasks.cpu_bound import count_primes, print_cube, print_square, sum_counts
from tasks.enqueuing import Batch, Executor, Outcome, QueueFullError, enqueue_many
from tasks.io_bound import print_letters, print_numbers, sleep
from tasks.mandelbrot import draw_tile
from tasks.pages import fetch_pages
from tasks.shared_array import count_last_digits
from tasks.shared_list import add_item, read_list, remove_item
from tasks.signals import await_event, go_rounds
from tasks.stock import put_on_sale, read_stock, sell_fenced, sell_unlocked, sell_with_lock
from tasks.support.output import Line, progress, say, watch

__all__ = [
    "Batch", "Executor", "Line", "Outcome", "QueueFullError",
    "add_item", "app", "await_event", "consume", "count_last_digits", "count_primes", "decrement_unlocked",
    "decrement_value", "decrement_with_lock", "draw_tile", "enqueue_many", "fetch_pages", "get_items", "go_rounds",
    "increment_unlocked", "increment_value", "increment_with_lock", "print_cube", "print_letters", "print_numbers",
    "print_square", "produce", "progress", "put_items", "put_on_sale", "read_list", "read_stock", "receive_items",
    "remove_item", "say", "sell_fenced", "sell_unlocked", "sell_with_lock", "send_items", "sleep", "sum_counts",
    "wait", "watch",
]  # fmt: skip

for _module in pkgutil.iter_modules(__path__, f"{__name__}."):
    importlib.import_module(_module.name)
