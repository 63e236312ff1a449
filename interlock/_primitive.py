"""The base of all primitives: a name in Redis, how an object travels to other processes, and a look at its state."""

import copy
import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from types import TracebackType
from typing import Any, ClassVar, Concatenate, ParamSpec, Self, TypeVar, cast

from interlock._arguments import checked_name
from interlock._holding.mutex import later, refused
from interlock._io.steps import Steps
from interlock._io.wire import Client
from interlock._protocol import scripts
from interlock._session import clients
from interlock._session.process import session
from interlock._session.session import Session
from interlock.errors import ReentryError

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Own = TypeVar("Own", bound="Primitive")


@dataclass(frozen=True)
class Holder:
    """One holder of a permit."""

    who: str  # host:pid of the process, and the task if the holder runs one
    token: int  # the fencing token
    remaining: float  # seconds until the lease ends, if the process does not renew it


@dataclass(frozen=True)
class Statistics:
    """A look at a Lock or a Semaphore, as Redis saw it at one moment."""

    kind: str
    name: str
    permits: int  # how many holders there may be at once
    holders: tuple[Holder, ...]  # in the order in which their leases end
    waiters: tuple[str, ...]  # host:pid and task of each, in order of arrival


class Primitive:
    """An object that names a thing in Redis.

    A program may make the object before a fork and use it after the fork, pickle it, and pass it to a Celery task
    through JSON (`interlock.register_with_kombu`). Only the kind, the name and the parameters travel, never an address
    or a password. On arrival the object uses the Redis that `REDIS_URL` names there. So an object whose `client=` has
    another address than `REDIS_URL` gives does not travel: to pickle it raises `TypeError`, because on arrival it would
    name another thing. (A client of Sentinel has no address to compare.)

    A copy in the same process (`copy.copy`, `copy.deepcopy`, `dataclasses.asdict`) keeps the client, and so names the
    same thing.
    """

    kinds: ClassVar[dict[str, type["Primitive"]]] = {}
    kind: ClassVar[str]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "kind" in cls.__dict__:
            Primitive.kinds[cls.kind] = cls

    def __init__(self, name: str | None, client: Client | None) -> None:
        self.name = checked_name(name)
        if client is not None and not isinstance(client, Client):
            given = type(client).__name__
            raise TypeError(f"client must be a redis.Redis, a redis.cluster.RedisCluster or None, not {given}")
        self._client = client

    @property
    def _session(self) -> Session:
        return session(self._client)

    def parameters(self) -> dict[str, Any]:
        """Return what another process needs to make this object there, in JSON types only."""
        raise NotImplementedError

    @classmethod
    def attached(cls, **parameters: Any) -> Self:
        """Return the object that these parameters name. Creates nothing in Redis."""
        return cls(**parameters)

    def travelling(self) -> dict[str, Any]:
        """Return kind and parameters, as they leave the process in a pickle or in JSON.

        Raises:
            TypeError: the client has another address than REDIS_URL gives, and the receiver would look there.
        """
        client = self._given_client
        if client is not None and (places := clients.apart(client)):
            theirs, ours = places
            raise TypeError(
                f"the {self.kind} {self.name!r} would be another one on arrival: its name travels, its client does "
                f"not, which goes to {theirs}, and {ours}. Set REDIS_URL to that address, or make it anew there by name"
            )
        return {"kind": self.kind, **self.parameters()}

    @property
    def _given_client(self) -> Client | None:
        return self._client

    def __reduce__(self) -> tuple[Callable[[dict[str, Any]], "Primitive"], tuple[dict[str, Any]]]:
        return attach, (self.travelling(),)

    def __copy__(self) -> Self:
        """Return another object for the same thing, with the same client."""
        made = type(self).__new__(type(self))
        made.__dict__.update(self.__dict__)
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Copy the object and the primitives in it, such as its lock: copies of two that share a lock share one too."""
        made = memo[id(self)] = copy.copy(self)
        for attribute, part in vars(self).items():
            if isinstance(part, Primitive) or isinstance(getattr(part, "__self__", None), Primitive):
                made.__dict__[attribute] = copy.deepcopy(part, memo)
        return made


class Entered:
    """What `with` acquires and releases."""

    def __enter__(self) -> bool:
        return self.acquire()  # type: ignore[attr-defined, no-any-return]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()  # type: ignore[attr-defined]


def attach(parameters: dict[str, Any]) -> Primitive:
    """Return the object that a pickle or JSON describes by its kind and parameters."""
    rest = dict(parameters)
    kind = rest.pop("kind")
    if kind.startswith("aio."):
        # The import is by name because `aio` is a layer above this one, and late because few programs need asyncio.
        importlib.import_module("interlock.aio")
    return Primitive.kinds[kind].attached(**rest)


def blocking(
    procedure: Callable[Concatenate[Own, Parameters], Steps[Result]],
) -> Callable[Concatenate[Own, Parameters], Result]:
    """Make a method from a procedure: a call of it blocks the thread, and `steps_of` returns its steps instead."""
    signature = inspect.signature(procedure)

    @wraps(procedure)
    def method(self: Own, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return self._session.run(procedure(self, *args, **kwargs))
        except ReentryError:
            if not self._session.holdings.mutex._is_owned():
                raise
            return cast(Result, _amid_bookkeeping(method, signature.bind(self, *args, **kwargs)))

    method.steps = procedure  # type: ignore[attr-defined]
    method.without_result = False  # type: ignore[attr-defined]
    returns = signature.return_annotation.__args__[-1]  # the return type of the generator
    method.__signature__ = signature.replace(return_annotation=returns)  # type: ignore[attr-defined]
    method.__annotations__ = {**procedure.__annotations__, "return": returns}
    return method


def without_result(method: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Mark a method that returns nothing: another thread makes a call that comes amid bookkeeping, later."""
    method.without_result = True  # type: ignore[attr-defined]
    return method


def _amid_bookkeeping(method: Any, bound: inspect.BoundArguments) -> Any:
    """Answer a call by a signal handler or a finalizer that interrupts the bookkeeping of its own thread.

    A try to acquire gets False. Another thread makes a call that neither waits nor has a result, as soon as the mutex
    is free. Every other call raises `ReentryError`. `_holding/mutex.py` says why.
    """
    bound.apply_defaults()
    given = bound.arguments
    self = given["self"]
    what = f"{method.__name__}() of {self.kind} {self.name!r}"
    waits = given.get("blocking", given.get("block", "timeout" in given)) and given.get("timeout") != 0
    if method.__name__ == "acquire" and not waits:
        return False
    if method.without_result and not waits:
        return later(lambda: method(*bound.args, **bound.kwargs), what)
    raise refused(what)


def steps_of(method: Callable[Parameters, Result]) -> Callable[Parameters, Steps[Result]]:
    """Return the procedure of a bound method that `blocking` made: a call of it returns the steps."""
    bound: Any = method
    return bound.__func__.steps.__get__(bound.__self__)  # type: ignore[no-any-return]


def look(state: Session, kind: str, name: str, permits: int) -> Steps[Statistics]:
    """Return the holders and the waiters, for people to read and not for decisions.

    The cost grows with the number of holders and waiters.
    """
    yield from state.checked()
    found = yield from scripts.look(state.resource(kind, name, permits))
    return Statistics(
        found.kind or kind,
        name,
        found.permits,
        tuple(Holder(who(id), token, remaining) for id, token, remaining in found.holders),
        tuple(who(id) for id in found.waiters),
    )


def who(id: str) -> str:
    """Return what an id tells people: the process, its task, and whether it wants to write."""
    attempt, _, label = id.partition(" ")
    return f"{label} to write" if attempt.endswith("w") else label
