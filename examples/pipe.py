"""A task sends messages into one end of an interlock.Pipe, and a task on another worker receives them from the other.

Run:      make up, then in another terminal: python -m examples.pipe
You see:  "Sent 0" to "Sent 9" by one worker, "Received 0" to "Received 9" by another: on any machines.
Caveat:   the receiver ends when the sender closes its end. A killed sender does not; so the receiver has a time-out.
"""

from celery import group

import interlock
from examples._claims import all_arrive_in_order
from examples._runner import conclude
from tasks import receive_items, send_items, watch

if __name__ == "__main__":
    reader, writer = interlock.Pipe(duplex=False)
    (sender, receiver), _ = watch(group(send_items.s(writer, 10), receive_items.s(reader)).delay())
    print("From process {pid} on {host}".format(**sender), "to process {pid} on {host}.".format(**receiver))
    conclude(all_arrive_in_order("messages", sender, receiver))
