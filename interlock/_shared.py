"""The base of shared values and arrays: a C type, a key in Redis, `unlink`, and for some of them a lock."""

from collections.abc import Mapping
from time import monotonic
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

from interlock._arguments import checked_lease, checked_linger, checked_ttl, foreign_lock
from interlock._holding.holdings import Hold, lost_text
from interlock._holding.lingering_lock import lingering_with
from interlock._holding.local_values import NO_LOCAL_VALUE, Key, redis_key
from interlock._io.steps import Steps
from interlock._io.wire import Client
from interlock._primitive import Primitive, blocking, steps_of, without_result
from interlock._protocol.c_types import held_as_they_are, typecode_of
from interlock._session import clients
from interlock.errors import GoneError, InterlockError, LeaseLostError
from interlock.lock import Lock, RLock

Result = TypeVar("Result")
WHY = "what is written under the lock is stored with its release, in one step in Redis"


class Shared(Primitive):
    """A value or an array of a C type in Redis."""

    noun = "value"  # the word for it in the messages of errors

    def _prepare(self, typecode_or_type: Any, *, name: str | None, client: Client | None, ttl: float | None) -> None:
        """Check the arguments and set the attributes, without creating anything in Redis."""
        super().__init__(name, client)
        self.typecode = typecode_of(typecode_or_type)
        self._python, self._lowest, self._highest = held_as_they_are(self.typecode)
        self._local_value = (
            NO_LOCAL_VALUE  # the fast paths of a Value read and write this: the copy under the hold of its last use
        )
        self.ttl = checked_ttl(ttl, named=name is not None)

    @property
    def _ttl_ms(self) -> int | None:
        return None if self.ttl is None else round(self.ttl * 1000)

    @property
    def _key(self) -> str:
        session = self._session
        return f"{session.resource(self.kind, self.name).state}:raw"

    def parameters(self) -> dict[str, Any]:
        return {"typecode": self.typecode, "name": self.name, "ttl": self.ttl}

    @classmethod
    def attached(cls, **parameters: Any) -> Self:
        self = cls.__new__(cls)
        Shared._prepare(self, parameters["typecode"], name=parameters["name"], client=None, ttl=parameters["ttl"])
        return self

    @blocking
    def unlink(self) -> Steps[None]:
        """Delete it. Each later use of it, in any process, raises GoneError."""
        yield from self._session.checked()
        yield ("DEL", self._key)

    def _gone(self) -> GoneError:
        place = clients.where(self._session.wire)
        return GoneError(
            f"the {self.noun} {self.name!r} exists no longer at {place}: it was unlinked, or its ttl ran out"
        )

    def __repr__(self) -> str:
        return f"<interlock.{self.kind} {self.name!r} {self.typecode!r}>"


class Guarded(Shared):
    """A value or an array that a lock guards: a lock of its own, or one that it shares with others."""

    def _prepare(  # type: ignore[override]
        self,
        typecode_or_type: Any,
        *,
        lock: bool | Lock | RLock | None,
        name: str | None,
        client: Client | None,
        lease: float,
        linger: float | None,
        ttl: float | None,
    ) -> None:
        super()._prepare(typecode_or_type, name=name, client=client, ttl=ttl)
        if lock is True or lock is None:
            self._lock: Lock | RLock = RLock(name=self.name, client=client, lease=lease, linger=linger)
        elif isinstance(lock, Lock | RLock):
            checked_lease(lease)
            checked_linger(linger)
            self._lock, self._client = lock, lock._client
        else:
            raise foreign_lock(lock, "True, False, an interlock.Lock or an interlock.RLock", WHY)

    @property
    def _key(self) -> str:
        session = self._session
        return redis_key(session.resource(self._lock.kind, self._lock.name).state, self.name)

    def parameters(self) -> dict[str, Any]:
        return {**super().parameters(), "lock": {"kind": self._lock.kind, **self._lock.parameters()}}

    @classmethod
    def attached(cls, **parameters: Any) -> Self:
        self = super().attached(**parameters)
        lock = dict(parameters["lock"])
        self._lock = Lock(**lock) if lock.pop("kind") == Lock.kind else RLock(**lock)
        return self

    @blocking
    def unlink(self) -> Steps[None]:
        """Delete it. Each later use of it raises GoneError, and so does the end of a section that wrote to it."""
        lingering = self._session.lingering
        yield from lingering.commit_all()
        lingering_lock = lingering.lingering_locks.get(self._lock._resource.state)
        if lingering_lock is not None:
            lingering_lock.raise_loss()
        yield from steps_of(super().unlink)()
        for hold in list(self._session.holdings.holds.values()):
            if hold.resource.state == self._lock._resource.state:
                hold.local_values.forget(self.name, hold.running)

    def get_lock(self) -> Lock | RLock:
        """Return the lock that guards it."""
        return self._lock

    def get_obj(self) -> NoReturn:
        """Raise TypeError: `multiprocessing` returns a ctypes object in shared memory, and Redis shares no memory."""
        raise TypeError(
            f"the {self.noun} {self.name!r} has no ctypes object to get: it is kept in Redis, not in shared memory; "
            "read and write it by itself, under get_lock()"
        )

    def _held(self) -> Steps[Hold | None]:
        """Return the caller's hold of the lock, which has the copies of the values, or None if it has no hold.

        Raises:
            LeaseLostError: the lease of that hold is over.
        """
        hold = self._lock._mine()
        if hold is None:
            return None
        if (yield from self._session.releasing.surely_lost(hold)):
            raise LeaseLostError(lost_text(hold))
        hold.local_values.use(self.name, self.typecode, self._ttl_ms)
        self._lock._bias_at(lingering_with(hold))
        return hold

    def _kept(self) -> Mapping[Key, Any]:
        """Return what finished sections wrote while this process lingers with the lock: Redis may not have it yet."""
        lingering_lock = self._session.lingering.lingering_locks.get(self._lock._resource.state)
        if lingering_lock is None:
            return {}
        hold = lingering_lock.hold or lingering_lock.returning
        if hold is None or hold.gone or hold.discarded or monotonic() >= hold.deadline:
            return {}
        return lingering_lock.turns.at_rest(hold.local_values.finished)[0]

    def _lingered(self) -> bool:
        """Whether this process lingers with the lock, and the caller is one that may try to enter by that."""
        lingering_lock = self._session.lingering.lingering_locks.get(self._lock._resource.state)
        return lingering_lock is not None and lingering_lock.hold is not None and self._lock._lingers()

    def _locked(self, section: Steps[Result]) -> Steps[Result]:
        """Acquire the lock, take the steps of a section, and release the lock."""
        yield from steps_of(self._lock.acquire)()
        return (yield from self._then_release(section))

    def _then_release(self, section: Steps[Result]) -> Steps[Result]:
        """Take the steps of a section, and release the lock that the caller has acquired for it."""
        try:
            return (yield from section)
        finally:
            try:
                yield from steps_of(self._lock.release)()
            except InterlockError:
                raise
            except BaseException:  # an exception interrupted the release: the caller releases again, all the same
                yield from steps_of(self._lock.release)()
                raise

    def __enter__(self) -> bool:
        return self._lock.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.__exit__(kind, error, trace)

    @blocking
    def acquire(self, blocking: bool = True, timeout: float = -1) -> Steps[bool]:
        """Acquire the lock, as its own `acquire` does."""
        return steps_of(self._lock.acquire)(blocking, timeout)

    @without_result
    @blocking
    def release(self) -> Steps[None]:
        """Release the lock, as its own `release` does."""
        return steps_of(self._lock.release)()
