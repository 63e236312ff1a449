"""A task sends messages into one end of an interlock.Pipe, and a task on another worker receives them from the other.

Run:      make up, then in another terminal: python -m examples.pipe
You see:  "Sent 0" to "Sent 9" by one worker, "Received 0" to "Received 9" by another: on any machines.
Caveat:   the receiver ends because the sender closes its end. One that is killed doesn't: so it waits with a time-out.
"""

import sys

from celery import group

import interlock
from examples._verdict import conclude
from tasks import receive_items, send_items, watch

ITEMS = 10


def main() -> int:
    reader, writer = interlock.Pipe(duplex=False)
    (producer, consumer), _ = watch(group(send_items.s(writer, ITEMS), receive_items.s(reader)).delay())
    there, here = ((run["host"], run["pid"]) for run in (producer, consumer))
    print(f"From process {there[1]} on {there[0]} to process {here[1]} on {here[0]}.")

    return conclude(
        f"{len(consumer['items'])} of {ITEMS} messages arrived",
        "messages arrive in another process, in order, each once",
        consumer["items"] == list(range(ITEMS)) and there != here,
        tasks=2,
        processes=[there, here],
    )


if __name__ == "__main__":
    sys.exit(main())
