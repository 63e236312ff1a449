"""Five tasks add to a shared list and three remove from it; an interlock.Semaphore(3) lets three in at once.

Run:      make up, then in another terminal: python -m examples.semaphore
You see:  what is added and removed, as it happens, and never more than three tasks inside at once.
Caveat:   the semaphore bounds who is inside, not the list, in the tutorial too.
"""

import sys
import uuid

from celery import chord

import interlock
from examples._verdict import conclude
from tasks import add_item, read_list, remove_item, watch
from tasks.support.clock import most_at_once


def main() -> int:
    items = f"shared_resource-{uuid.uuid4().hex[:8]}"
    semaphore = interlock.Semaphore(3)
    adding = [add_item.s(items, semaphore, i) for i in range(5)]
    removing = [remove_item.s(items, semaphore) for _ in range(3)]
    result, lines = watch(chord(adding + removing)(read_list.s(items)))
    print(f"Final shared resource: {result['items']}")

    most = most_at_once([(stay["began"], stay["ended"]) for stay in result["stays"]])
    return conclude(
        f"{result['items']}, at most {most} inside",
        "never more than 3 hold the semaphore, and more than 1 does",
        1 < most <= 3 and len(result["stays"]) == 8,
        tasks=9,
        processes=[line.process for line in lines],
    )


if __name__ == "__main__":
    sys.exit(main())
