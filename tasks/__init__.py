"""What can be enqueued: all that a producer imports, as in `from tasks import print_square`."""

from tasks.app import app
from tasks.counting import (
    decrement_unlocked,
    decrement_value,
    decrement_with_lock,
    increment_unlocked,
    increment_value,
    increment_with_lock,
)
from tasks.cpu_bound import count_primes, print_cube, print_square
from tasks.io_bound import print_letters, print_numbers
from tasks.output import Line, say, watch
from tasks.shared_list import add_item, read_list, remove_item

__all__ = [
    "Line", "add_item", "app", "count_primes", "decrement_unlocked", "decrement_value", "decrement_with_lock",
    "increment_unlocked", "increment_value", "increment_with_lock", "print_cube", "print_letters", "print_numbers",
    "print_square", "read_list", "remove_item", "say", "watch",
]  # fmt: skip
