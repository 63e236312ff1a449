"""Two processes get an interlock.Value as an argument, and change it under the value's own lock.

Run:      make up, then in another terminal: python -m examples.shared_value [TIMES]
You see:  a final value of exactly 0, also when a worker is killed and its task runs again: each task keeps its progress
          in a second value under the same lock.
"""

from celery import group

import interlock
from examples._claims import no_update_is_lost
from examples._runner import conclude, times
from tasks import decrement_value, increment_value, watch

if __name__ == "__main__":
    each = times(100_000)
    shared_variable = interlock.Value("i", 0)
    both = group(increment_value.s(shared_variable, each), decrement_value.s(shared_variable, each))

    runs, _ = watch(both.delay())
    print("Final value of shared_variable:", shared_variable.value)
    conclude(no_update_is_lost(shared_variable.value, runs, "the value's own lock"))
