"""A task puts items into an interlock.Queue, and a task on another worker gets them.

Run:      make up, then in another terminal: python -m examples.shared_queue
You see:  "Put 0" to "Put 9" by one worker, "Got 0" to "Got 9" by another: on any machines.
Caveat:   what a consumer had got when it was killed is gone with it, as with multiprocessing.Queue.
"""

import sys

from celery import group

import interlock
from examples._verdict import conclude
from tasks import get_items, put_items, watch

ITEMS = 10


def main() -> int:
    channel = interlock.Queue(maxsize=3)
    (producer, consumer), _ = watch(group(put_items.s(channel, ITEMS), get_items.s(channel)).delay())
    there, here = ((run["host"], run["pid"]) for run in (producer, consumer))
    print(f"From process {there[1]} on {there[0]} to process {here[1]} on {here[0]}.")

    return conclude(
        f"{len(consumer['items'])} of {ITEMS} items arrived",
        "items arrive in another process, in order, each once",
        consumer["items"] == list(range(ITEMS)) and there != here,
        tasks=2,
        processes=[there, here],
    )


if __name__ == "__main__":
    sys.exit(main())
