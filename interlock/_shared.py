"""What shared values and arrays have in common: a C type, a key, an end; and the lock that guards some."""

from types import TracebackType
from typing import Any, Self, TypeVar

from interlock._arguments import checked_lease, checked_ttl
from interlock._ctypes import typecode_of
from interlock._primitive import Primitive, blocking, steps_of
from interlock._session import lost_text
from interlock._standing import Hold
from interlock._steps import Steps
from interlock._wire import Client
from interlock.errors import GoneError, LeaseLostError
from interlock.lock import Lock, RLock

Result = TypeVar("Result")


class Shared(Primitive):
    """Something of a C type in Redis."""

    noun = "value"  # what errors call it

    def _prepare(self, typecode_or_type: Any, *, name: str | None, client: Client | None, ttl: float | None) -> None:
        """Everything but to create it in Redis."""
        super().__init__(name, client)
        self.typecode = typecode_of(typecode_or_type)
        self.ttl = checked_ttl(ttl, named=name is not None)

    @property
    def _ttl_ms(self) -> int | None:
        return None if self.ttl is None else round(self.ttl * 1000)

    @property
    def _key(self) -> str:
        session = self._session
        return f"{session.identity(self.kind, self.name).state}:raw"

    def parameters(self) -> dict[str, Any]:
        return {"typecode": self.typecode, "name": self.name, "ttl": self.ttl}

    @classmethod
    def attached(cls, **parameters: Any) -> Self:
        self = cls.__new__(cls)
        Shared._prepare(self, parameters["typecode"], name=parameters["name"], client=None, ttl=parameters["ttl"])
        return self

    @blocking
    def unlink(self) -> Steps[None]:
        """Delete it. Whoever uses it afterwards gets GoneError."""
        yield from self._session.checked()
        yield ("DEL", self._key)

    def _gone(self) -> GoneError:
        return GoneError(f"the {self.noun} {self.name!r} exists no longer: it was unlinked, or its ttl ran out")

    def __repr__(self) -> str:
        return f"<interlock.{self.kind} {self.name!r} {self.typecode!r}>"


class Guarded(Shared):
    """What a lock guards: it has a lock of its own, or shares another's."""

    def _prepare(  # type: ignore[override]
        self,
        typecode_or_type: Any,
        *,
        lock: bool | Lock | RLock | None,
        name: str | None,
        client: Client | None,
        lease: float,
        ttl: float | None,
    ) -> None:
        super()._prepare(typecode_or_type, name=name, client=client, ttl=ttl)
        if lock is True or lock is None:
            self._lock: Lock | RLock = RLock(name=self.name, client=client, lease=lease)
        elif isinstance(lock, Lock | RLock):
            checked_lease(lease)
            self._lock, self._client = lock, lock._client
        else:
            raise TypeError(f"lock must be True, False, an interlock.Lock or an interlock.RLock, not {lock!r}")

    @property
    def _key(self) -> str:
        session = self._session
        return f"{session.identity(self._lock.kind, self._lock.name).state}:value:{self.name}"

    def parameters(self) -> dict[str, Any]:
        return {**super().parameters(), "lock": {"kind": self._lock.kind, **self._lock.parameters()}}

    @classmethod
    def attached(cls, **parameters: Any) -> Self:
        self = super().attached(**parameters)
        lock = dict(parameters["lock"])
        self._lock = Lock(**lock) if lock.pop("kind") == Lock.kind else RLock(**lock)
        return self

    def get_lock(self) -> Lock | RLock:
        """The lock that guards it."""
        return self._lock

    def _hold(self) -> Steps[Hold | None]:
        """The caller's hold of the lock. Raises LeaseLostError if it is over."""
        hold = self._lock._mine()
        if hold is not None and (yield from self._session.surely_lost(hold)):
            raise LeaseLostError(lost_text(hold))
        return hold

    def _locked(self, section: Steps[Result]) -> Steps[Result]:
        """A section under the lock."""
        yield from steps_of(self._lock.acquire)()
        try:
            return (yield from section)
        finally:
            yield from steps_of(self._lock.release)()

    def __enter__(self) -> bool:
        return self._lock.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.__exit__(kind, error, trace)

    @blocking
    def acquire(self, blocking: bool = True, timeout: float = -1) -> Steps[bool]:
        """As the lock's."""
        return steps_of(self._lock.acquire)(blocking, timeout)

    @blocking
    def release(self) -> Steps[None]:
        """As the lock's."""
        return steps_of(self._lock.release)()
