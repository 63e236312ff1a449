"""Producers and consumers share a buffer with room for three; an interlock.Condition tells them when it has changed.

Run:      make up, then in another terminal: python -m examples.condition
You see:  two producers and two consumers done, and that the buffer never held more than three items.
Caveat:   a task that is killed and runs again begins anew; the tasks of examples/shared_array.py go on instead.
"""

from celery import group

import interlock
from examples._claims import buffer_keeps_its_bound
from examples._runner import conclude
from tasks import consume, produce, watch

if __name__ == "__main__":
    lock = interlock.Lock()
    put, taken = interlock.Value("i", 0, lock=lock), interlock.Value("i", 0, lock=lock)
    buffer = interlock.Condition(lock), interlock.Array("i", 3, lock=lock), put, taken
    producers = [produce.s(*buffer, first, 12) for first in (0, 12)]
    consumers = [consume.s(*buffer, 12, pause=0.01) for _ in range(2)]

    runs, _ = watch(group(producers + consumers).delay())
    conclude(buffer_keeps_its_bound(runs, put.value, taken.value))
