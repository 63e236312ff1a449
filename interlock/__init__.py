"""The locks of `threading` and the shared values of `multiprocessing`, between processes on any number of machines.

>>> import interlock
>>> lock = interlock.Lock(name="report")
>>> with lock:
...     lock.token > 0
True

Redis is where `REDIS_URL` says. Every class says in its docstring how it differs from its twin.
"""

from interlock._session import close
from interlock.array import Array, RawArray
from interlock.caller import Caller, acting_for
from interlock.condition import Condition
from interlock.errors import (
    GoneError,
    InterlockError,
    LeaseLostError,
    NameTakenError,
    NotHeldError,
    UnreachableError,
)
from interlock.inspection import inspect
from interlock.kombu_json import register_with_kombu
from interlock.lock import Lock, RLock
from interlock.semaphore import BoundedSemaphore, Semaphore
from interlock.value import RawValue, Value

__version__ = "0.1.0"

__all__ = [
    "Array", "BoundedSemaphore", "Caller", "Condition", "GoneError", "InterlockError", "LeaseLostError", "Lock",
    "NameTakenError", "NotHeldError", "RLock", "RawArray", "RawValue", "Semaphore", "UnreachableError", "Value",
    "acting_for", "close", "inspect", "register_with_kombu",
]  # fmt: skip
