"""A task puts items into an interlock.Queue, and a task on another worker gets them.

Run:      make up, then in another terminal: python -m examples.shared_queue
You see:  "Put 0" to "Put 9" by one worker, "Got 0" to "Got 9" by another: on any machines.
Caveat:   items that a consumer had got when it was killed are lost with it, as with multiprocessing.Queue.
"""

from celery import group

import interlock
from examples._claims import all_arrive_in_order
from examples._runner import conclude
from tasks import get_items, put_items, watch

if __name__ == "__main__":
    channel = interlock.Queue(maxsize=3)
    (sender, receiver), _ = watch(group(put_items.s(channel, 10), get_items.s(channel)).delay())
    print("From process {pid} on {host}".format(**sender), "to process {pid} on {host}.".format(**receiver))
    conclude(all_arrive_in_order("items", sender, receiver))
