"""Two processes add to one counter and subtract from it, each update under an interlock.Lock.

Run:      make up, then in another terminal: python -m examples.lock [TIMES]
You see:  a final value of exactly 0, also when a worker is killed and its task runs again: each task keeps its progress
          in a second value under the same lock.
"""

from celery import group

import interlock
from examples._claims import no_update_is_lost
from examples._runner import conclude, times
from tasks import decrement_with_lock, increment_with_lock, watch

if __name__ == "__main__":
    each = times(1_000_000)
    lock = interlock.Lock()
    shared_variable = interlock.Value("i", 0, lock=lock)
    arguments = shared_variable, lock, each

    runs, _ = watch(group(increment_with_lock.s(*arguments), decrement_with_lock.s(*arguments)).delay())
    print("Final value of shared_variable:", shared_variable.value)
    conclude(no_update_is_lost(shared_variable.value, runs, "the lock"))
