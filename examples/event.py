"""Four tasks, on two workers, wait for an interlock.Event; when this program sets it, all go on.

Run:      make up, then in another terminal: python -m examples.event
You see:  "Went on." four times, never before "Set.", and how long after it the last task went on.
"""

from celery import group

import interlock
from examples._claims import all_go_on_when_it_is_set
from examples._runner import conclude
from tasks import await_event, watch
from tasks.support.clock import server_time
from tasks.support.patience import comes_true, waited_in_vain

if __name__ == "__main__":
    go = interlock.Event()
    result = group([await_event.s(go)] * 3 + [await_event.s(go).set(queue="cpu")]).delay()
    waiting = comes_true(lambda: len(go.statistics().waiters) == 4 or result.ready())
    was_set = server_time()
    go.set()
    if not waiting:
        raise waited_in_vain("for four tasks to wait for the event", "io", "cpu")
    print("Set.")

    runs, _ = watch(result)
    conclude(all_go_on_when_it_is_set(was_set, runs))
