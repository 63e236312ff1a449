"""Four tasks, on two workers, wait for an interlock.Event; when this program sets it, all go on.

Run:      make up, then in another terminal: python -m examples.event
You see:  "Went on." four times, none before "Set.", and how long after it the last one was.
"""

import sys

from celery import group

import interlock
from examples._verdict import conclude
from tasks import await_event, watch
from tasks.support.clock import server_time
from tasks.support.patience import comes_true, waited_in_vain


def main() -> int:
    go = interlock.Event()
    result = group([await_event.s(go)] * 3 + [await_event.s(go).set(queue="cpu")]).delay()
    waiting = comes_true(lambda: len(go.statistics().waiters) == 4 or result.ready())
    was_set = server_time()
    go.set()
    if not waiting:
        raise waited_in_vain("for four tasks to wait for the event", "io", "cpu")
    print("Set.")
    runs, _ = watch(result)

    last = max(run["went_on"] for run in runs) - was_set
    return conclude(
        f"all on {1000 * last:.0f} ms after the set",
        "nobody goes on before the event is set, and all do within 2 s of it",
        all(was_set <= run["went_on"] <= was_set + 2 for run in runs),
        tasks=4,
        processes=[(run["host"], run["pid"]) for run in runs],
    )


if __name__ == "__main__":
    sys.exit(main())
