"""Five tasks add to a shared list, three remove from it, and an interlock.Semaphore(3) lets three of them in at once.

Run:      make up, then in another terminal: python -m examples.semaphore
You see:  what is added and removed, as it happens, and never more than three tasks inside.
Caveat:   the semaphore bounds how many tasks are inside, not how long the list is; so it is in the tutorial.
"""

from uuid import uuid4

from celery import chord

import interlock
from examples._claims import at_most_three_are_inside
from examples._runner import conclude
from tasks import add_item, read_list, remove_item, watch

if __name__ == "__main__":
    shared_resource = f"shared_resource-{uuid4().hex[:8]}"
    semaphore = interlock.Semaphore(3)
    tasks = [add_item.s(shared_resource, semaphore, i) for i in range(5)]
    tasks += [remove_item.s(shared_resource, semaphore) for _ in range(3)]

    result, lines = watch(chord(tasks)(read_list.s(shared_resource)))
    print("Final shared resource:", result["items"])
    conclude(at_most_three_are_inside(result, lines))
