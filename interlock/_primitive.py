"""What all primitives share: a name in Redis, a way to travel, a look inside."""

import copy
import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
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
    """One who holds a permit."""

    who: str  # host:pid, and the task if there is one
    token: int  # the fencing token
    remaining: float  # seconds until the lease ends, if nobody renews it


@dataclass(frozen=True)
class Statistics:
    """A look at a Lock or a Semaphore, as Redis saw it at one moment."""

    kind: str
    name: str
    permits: int  # how many may hold at once
    holders: tuple[Holder, ...]  # the one whose lease ends first, first
    waiters: tuple[str, ...]  # host:pid and task, in order of arrival


class Primitive:
    """An object that names a thing in Redis.

    It may be made before a fork and used after it, pickled, and passed to a Celery task through JSON
    (`interlock.register_with_kombu`). What travels is kind, name and parameters, never an address or a password: on
    arrival it uses the Redis that `REDIS_URL` names there. So an object with a `client=` of another address than
    `REDIS_URL` gives does not travel: `TypeError`, for it would be another thing there. (A client of Sentinel has no
    address to compare.)

    A copy in the same process (`copy.copy`, `copy.deepcopy`, `dataclasses.asdict`) keeps the client, and so is the
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
        """What names this object elsewhere: JSON types only."""
        raise NotImplementedError

    @classmethod
    def attached(cls, **parameters: Any) -> Self:
        """The object that these parameters name. Creates nothing in Redis."""
        return cls(**parameters)

    def travelling(self) -> dict[str, Any]:
        """Return kind and parameters, as they leave the process in a pickle or in JSON.

        Raises:
            TypeError: its client goes to another address than REDIS_URL gives, where it would be looked for.
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
        """Another object for the same thing, with the same client."""
        made = type(self).__new__(type(self))
        made.__dict__.update(self.__dict__)
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """As `__copy__`, with copies of the primitives that it has, such as its lock: what shared one still does."""
        made = memo[id(self)] = copy.copy(self)
        for attribute, part in vars(self).items():
            if isinstance(part, Primitive) or isinstance(getattr(part, "__self__", None), Primitive):
                made.__dict__[attribute] = copy.deepcopy(part, memo)
        return made


def attach(parameters: dict[str, Any]) -> Primitive:
    """The object that was described by kind and parameters, as it arrives from a pickle or from JSON."""
    rest = dict(parameters)
    kind = rest.pop("kind")
    if kind.startswith("aio."):
        importlib.import_module("interlock.aio")  # by name, for it is above; now, for it needs asyncio, and few need it
    return Primitive.kinds[kind].attached(**rest)


def blocking(
    procedure: Callable[Concatenate[Own, Parameters], Steps[Result]],
) -> Callable[Concatenate[Own, Parameters], Result]:
    """A method from the steps that it takes: called, it blocks the thread; `steps_of` gives the steps themselves."""
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
    returns = signature.return_annotation.__args__[-1]  # of the generator
    method.__signature__ = signature.replace(return_annotation=returns)  # type: ignore[attr-defined]
    method.__annotations__ = {**procedure.__annotations__, "return": returns}
    return method


def without_result(method: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Marks a method whose caller awaits nothing: called amid bookkeeping, it is made later, by another thread."""
    method.without_result = True  # type: ignore[attr-defined]
    return method


def _amid_bookkeeping(method: Any, bound: inspect.BoundArguments) -> Any:
    """What becomes of a call by a signal handler or a finalizer that interrupts bookkeeping (`_holding/mutex.py`)."""
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
    """The steps of a bound method that `blocking` made."""
    bound: Any = method
    return bound.__func__.steps.__get__(bound.__self__)  # type: ignore[no-any-return]


def look(state: Session, kind: str, name: str, permits: int) -> Steps[Statistics]:
    """Who holds and who waits. Grows with what it reports: for people, not for decisions."""
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
    """What an id says to people."""
    attempt, _, label = id.partition(" ")
    return f"{label} to write" if attempt.endswith("w") else label
