"""The primitives of `interlock` for coroutines: the same names, with methods that the caller awaits.

>>> import asyncio, interlock.aio
>>> async def main():
...     async with interlock.aio.Lock(name="report") as held:
...         return held
>>> asyncio.run(main())
True

A lock, queue or value of one name is one thing, whether threads or coroutines use it; both run the same scripts. A call
blocks no event loop. A thread renews the leases, so that a loop that is busy for long loses none. Objects pickle and
pass through JSON as those for threads do; `aio.Lock.of(lock)` makes the one for coroutines from the one for threads.
"""

from interlock.aio.locks import BoundedSemaphore, Condition, Lock, RLock, RWLock, Semaphore
from interlock.aio.multilock import MultiLock, all_of
from interlock.aio.queues import Connection, JoinableQueue, Pipe, Queue, SimpleQueue
from interlock.aio.signals import Barrier, Event
from interlock.aio.values import Array, RawArray, RawValue, Value

__all__ = [
    "Array", "Barrier", "BoundedSemaphore", "Condition", "Connection", "Event", "JoinableQueue", "Lock", "MultiLock",
    "Pipe", "Queue", "RLock", "RWLock", "RawArray", "RawValue", "Semaphore", "SimpleQueue", "Value", "all_of",
]  # fmt: skip
