"""The primitives of `threading` and `multiprocessing`, between processes on any number of machines.

>>> import interlock
>>> lock = interlock.Lock(name="report")
>>> with lock:
...     lock.token > 0
True

The environment variable `REDIS_URL` says where Redis is. The docstring of each class says how the class differs from
its twin in the standard library.
"""

from interlock._io.endable import endable
from interlock._session.process import close, flush
from interlock.acting import acting_for
from interlock.array import Array, RawArray
from interlock.barrier import Barrier
from interlock.caller import Caller
from interlock.condition import Condition
from interlock.errors import (
    GoneError,
    InterlockError,
    LeaseLostError,
    NameTakenError,
    NotHeldError,
    ReentryError,
    RefusedError,
    UnreachableError,
    WaitEndedError,
)
from interlock.event import Event
from interlock.inspection import inspect
from interlock.kombu_json import register_with_kombu
from interlock.lock import Lock, RLock
from interlock.multilock import MultiLock, all_of
from interlock.pipe import Connection, Pipe
from interlock.queue import JoinableQueue, Queue, SimpleQueue
from interlock.rwlock import RWLock
from interlock.semaphore import BoundedSemaphore, Semaphore
from interlock.value import RawValue, Value

__version__ = "0.1.0"

__all__ = [
    "Array", "Barrier", "BoundedSemaphore", "Caller", "Condition", "Connection", "Event", "GoneError",
    "InterlockError", "JoinableQueue", "LeaseLostError", "Lock", "MultiLock", "NameTakenError", "NotHeldError", "Pipe",
    "Queue", "RLock", "RWLock", "RawArray", "RawValue", "ReentryError", "RefusedError", "Semaphore", "SimpleQueue",
    "UnreachableError", "Value", "WaitEndedError", "acting_for", "all_of", "close", "endable", "flush", "inspect",
    "register_with_kombu",
]  # fmt: skip
