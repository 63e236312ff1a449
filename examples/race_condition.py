"""Two processes add to one counter and subtract from it, without a lock, and lose updates.

Run:      make up, then in another terminal: python -m examples.race_condition [TIMES]
You see:  a final value that is hardly ever 0, and how many updates were overwritten, at least.
"""

from celery import group

import interlock
from examples._claims import updates_are_lost
from examples._runner import conclude, times
from tasks import decrement_unlocked, increment_unlocked, watch

if __name__ == "__main__":
    each = times(100_000)
    shared_variable = interlock.Value("i", 0, lock=False)
    both = group(increment_unlocked.s(shared_variable, each), decrement_unlocked.s(shared_variable, each))

    runs, _ = watch(both.delay())
    print("Final value of shared_variable:", shared_variable.value)
    conclude(updates_are_lost(shared_variable.value, runs))
