"""Threads that change in the middle of things."""

import sys
from contextlib import contextmanager


@contextmanager
def switching():
    """Threads change as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def called(slot):
    """A slot that is read and written by calls in Python: at each, another thread may come."""
    return property(lambda self: slot.__get__(self), lambda self, value: slot.__set__(self, value))
