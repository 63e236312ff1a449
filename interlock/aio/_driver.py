"""The base of all primitives for coroutines: each has a twin for threads, and takes its steps on an event loop.

Coroutines hold and wait in the same session as the threads of their process. Its heartbeat renews the leases from a
thread of its own, so that an event loop that is busy for long loses none.
"""

import asyncio
import contextlib
import copy
import inspect
import itertools
import sys
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from functools import wraps
from typing import Any, ClassVar, Concatenate, Generic, ParamSpec, Self, TypeAlias, TypeVar, cast

import redis
import redis.asyncio
import redis.asyncio.cluster
import redis.asyncio.retry
from redis.backoff import ExponentialBackoff

from interlock import address, caller
from interlock._io import refusals
from interlock._io.cluster import NOWHERE, ClusterWire
from interlock._io.steps import Command, Rest, Step, Steps, ended
from interlock._io.steps import run as run_steps
from interlock._io.wire import CONNECTIONS_MAX, OURS, Wire, demoted
from interlock._io.wire import Client as BlockingClient
from interlock._primitive import Primitive, attach
from interlock._session.session import Session

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Twin = TypeVar("Twin", bound=Primitive)
Call = TypeVar("Call", bound=Callable[..., Any])

Client: TypeAlias = redis.asyncio.Redis | redis.asyncio.RedisCluster

CONNECTIONS: dict[type, type] = {
    redis.asyncio.Connection: redis.Connection,
    redis.asyncio.SSLConnection: redis.SSLConnection,
    redis.asyncio.UnixDomainSocketConnection: redis.UnixDomainSocketConnection,
}

OF_ASYNCIO = ("retry", "parser_class", "encoder_class", "redis_connect_func", "event_dispatcher")

AWAITED = ("cr_await", "ag_await", "gi_yieldfrom")  # what a coroutine, an asynchronous generator, a generator awaits

_numbers = itertools.count(-1, -1)
_coroutines: weakref.WeakKeyDictionary[asyncio.Task[Any], int] = weakref.WeakKeyDictionary()
_blocking_clients: weakref.WeakKeyDictionary[Client, BlockingClient] = weakref.WeakKeyDictionary()
_ends: set[asyncio.Task[Any]] = set()  # the tasks that take the last steps of procedures that were cancelled


def running() -> asyncio.Task[Any] | None:
    """Return the asyncio.Task that runs now; None if none does."""
    try:
        return asyncio.current_task()
    except RuntimeError:  # no event loop runs
        return None


def coroutine(called_by: asyncio.Task[Any] | None = None) -> int:
    """Return the number of the coroutine, that is of its asyncio.Task, as an owner; 0 if none runs.

    Args:
        called_by: the task that made the call. It is the owner if it waits for the running task by `asyncio.wait_for`,
            which on Python 3.11 makes a task of its argument. Else the running task is the owner.
    """
    task = running()
    if task is None:
        return 0
    if sys.version_info < (3, 12) and called_by not in (None, task) and _waits_for(called_by, task):
        task = called_by
    number = _coroutines.get(task)
    if number is None:
        number = _coroutines[task] = next(_numbers)
        caller.coroutines[number] = task
    if acting := caller.current.get():
        acting.coroutines.add(number)  # so that the end of the task releases the locks that this coroutine left held
    return number


def _waits_for(waiting: asyncio.Task[Any], task: asyncio.Task[Any]) -> bool:
    """Whether the first task waits for the second one inside `asyncio.wait_for` of Python 3.11."""
    step: Any = waiting.get_coro()
    while step is not None:
        frame = getattr(step, "cr_frame", None)
        if frame is not None and frame.f_code is asyncio.wait_for.__code__ and frame.f_locals.get("fut") is task:
            return True
        step = next((found for name in AWAITED if (found := getattr(step, name, None)) is not None), None)
    return False


@contextlib.contextmanager
def standing_in(number: int) -> Iterator[None]:
    """Have the running task own what that coroutine owns: it runs a part of that coroutine, as `wait_for` makes one."""
    task = asyncio.current_task()
    own = _coroutines.get(task) if task else None
    if task is None or number in (0, own):
        yield
        return
    _coroutines[task] = number
    try:
        yield
    finally:
        if own is None:
            del _coroutines[task]
        else:
            _coroutines[task] = own


class Coroutines(Primitive, Generic[Twin]):
    """A primitive for coroutines."""

    blocking: ClassVar[type[Primitive]]  # the class of its twin for threads

    def __init__(self, twin: Twin, client: Client | None) -> None:
        self._twin, self._source = twin, client
        self.name = twin.name

    @classmethod
    def of(cls, twin: Twin) -> Self:
        """Return an object for coroutines of the same thing: `aio.Lock.of(lock)`. It uses the Redis of `REDIS_URL`.

        Raises:
            TypeError: the twin has a client of another address, or is of another class. For another address, make the
                object by name, with a client of `redis.asyncio`.
        """
        if type(twin) is not cls.blocking:
            raise TypeError(f"aio.{cls.__name__}.of takes an interlock.{cls.blocking.__name__}, not {twin!r}")
        self = cls.__new__(cls)
        Coroutines.__init__(self, cast(Twin, attach(twin.travelling())), None)
        return self

    def parameters(self) -> dict[str, Any]:
        return self._twin.parameters()

    @classmethod
    def attached(cls, **parameters: Any) -> Self:
        return cls.of(cast(Twin, cls.blocking.attached(**parameters)))

    @property
    def _session(self) -> Session:
        return self._twin._session

    @property
    def _given_client(self) -> BlockingClient | None:
        return self._twin._client

    def __copy__(self) -> Self:
        made = super().__copy__()
        made._twin = copy.copy(self._twin)  # so that `close` of a copy closes no other object
        return made

    async def _first(self) -> None:
        """Do what has to come before the first step of any method."""

    async def _take(self, steps: Steps[Result], owner: int = 0, *, whole: bool = False) -> Result:
        """Take the steps of a procedure of the twin for the coroutine with the number `owner`; 0: the one that runs."""
        return await _Walk(steps, self._session, self._source, owner or coroutine(), whole=whole).walk()

    def _mine(self, ask: Callable[[], Result]) -> Result:
        """Return what the twin answers to this coroutine, without asking Redis."""
        caller.stepping.coroutine = coroutine()
        try:
            return ask()
        finally:
            caller.stepping.coroutine = 0

    def __repr__(self) -> str:
        return f"<interlock.aio.{type(self).__name__} {self.name!r}>"


def awaiting(
    method: Callable[Concatenate[Any, Parameters], Result], *, whole: bool = False
) -> Callable[Concatenate[Any, Parameters], Coroutine[Any, Any, Result]]:
    """Make a method that is awaited from a method of the twin.

    With `whole`, a coroutine that is cancelled meanwhile gets its `CancelledError` when the method has done its work.
    """
    procedure = method.steps  # type: ignore[attr-defined]

    @wraps(method)
    async def run(
        self: Coroutines[Any], called_by: Any, /, *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        owner = coroutine(called_by)
        await self._first()
        return cast(Result, await self._take(procedure(self._twin, *args, **kwargs), owner, whole=whole))

    @coroutine_function
    @wraps(method)
    def call(
        self: Coroutines[Any], /, *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Coroutine[Any, Any, Result]:
        return run(self, running(), *args, **kwargs)

    return call


def coroutine_function(function: Call) -> Call:
    """Mark a function that returns a coroutine as a coroutine function, which it is to its callers."""
    if sys.version_info >= (3, 12):
        return inspect.markcoroutinefunction(function)
    function._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]
    return function


class _Walk(Generic[Result]):
    """One coroutine's way through the steps of a procedure."""

    def __init__(
        self, steps: Steps[Result], session: Session, source: Client | None, coroutine: int, *, whole: bool
    ) -> None:
        self._steps, self._session, self._source = steps, session, source
        self._coroutine, self._whole = coroutine, whole
        self._step: Step | None = None  # the step that it is taking now
        self._outcome: Any = None
        self._error: BaseException | None = None

    async def walk(self) -> Result:
        """Take step after step. Raise inside the procedure what ends it from outside, so that it cleans up."""
        task = running()
        assert task is not None
        self._session.walks[self] = asyncio.get_running_loop()
        try:
            return await self._all_steps(task)
        finally:
            self._session.walks.pop(self, None)

    async def _all_steps(self, task: asyncio.Task[Any]) -> Result:
        cancelled_before = task.cancelling()
        while True:
            try:
                if self._step is None:
                    self._step = self._next()
                self._outcome = await self._taken(self._step)
                if task.cancelling() > cancelled_before:  # redis-py, while it connects, may swallow a cancellation
                    raise asyncio.CancelledError
                self._step = None
            except StopIteration as end:
                return cast(Result, end.value)
            except asyncio.CancelledError as cancelled:
                if ended(self._steps):
                    raise
                return await self._walk_on(cancelled)
            except GeneratorExit:
                self.drop()
                raise
            except BaseException as raised:
                if ended(self._steps):
                    raise
                self._error, self._step = raised, None

    def _next(self) -> Step:
        error, self._error = self._error, None
        caller.stepping.coroutine = self._coroutine
        try:
            return self._steps.send(self._outcome) if error is None else self._steps.throw(error)
        finally:
            caller.stepping.coroutine = 0

    async def _taken(self, step: Step) -> Any:
        if isinstance(step, tuple):
            return await _answered(await _client_of(self._session, self._source), step)
        if isinstance(step, Rest):
            return await _rest(step, self.drop)
        return await asyncio.to_thread(step.function)

    async def _walk_on(self, cancelled: asyncio.CancelledError) -> Result:
        """Take the steps that are left after a cancellation: the coroutine leaves the queue, then is cancelled.

        A second cancellation does not stop these steps, as in asyncio.Condition.
        """
        if not self._whole:  # else it takes the step that was cut short again: each command may be sent twice
            self._error, self._step = cancelled, None
        task = asyncio.create_task(self.walk())
        _ends.add(task)
        task.add_done_callback(_ends.discard)
        while not task.done():
            try:
                await asyncio.wait((task,))
            except asyncio.CancelledError:
                continue
        task.result()
        raise cancelled

    def drop(self) -> None:
        """Have a thread take the steps that clean up: the loop has ended, or no object refers to this coroutine."""
        if self._session.walks.pop(self, None) is not None and not ended(self._steps):  # once, whoever notices first
            threading.Thread(target=self._end, daemon=True).start()

    def _end(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            run_steps(self._steps, self._session.call, asyncio.CancelledError())


async def _answered(client: Client, command: Command) -> Any:
    """Send a command and return the answer of Redis, with the errors and repeats of `Session.call` for threads."""
    rests = iter(refusals.REPEATS)
    while True:
        try:
            return await client.execute_command(*command)
        except (redis.ResponseError, redis.BusyLoadingError, redis.AuthenticationError) as error:
            refusal, rest = refusals.ours(error), next(rests, None)
            if rest is None or not isinstance(refusal, refusals.PassingRefusalError):
                raise refusal from error
            # The server is a replica now: a new connection to the same address may lead to the new master.
            if demoted(error) and isinstance(client, redis.asyncio.Redis):
                await client.connection_pool.disconnect(inuse_connections=False)
        except NOWHERE as error:
            raise redis.ConnectionError(str(error)) from error
        await asyncio.sleep(rest)


async def _rest(rest: Rest, drop: Callable[[], None]) -> bool:
    loop = asyncio.get_running_loop()
    woken = loop.create_future()

    def resolve() -> None:
        if not woken.done():
            woken.set_result(None)

    def on_wake() -> None:  # the thread of the listener or of the heartbeat calls it
        try:
            loop.call_soon_threadsafe(resolve)
        except RuntimeError:  # the loop is closed, and the coroutine that rested on it runs no more
            drop()

    rest.signal.on_wake = on_wake
    try:
        if not rest.signal.woken:
            await asyncio.wait((woken,), timeout=None if rest.seconds is None else max(0.0, rest.seconds))
    finally:
        rest.signal.on_wake = None
    return rest.signal.take()


# --- clients ---


def blocking_client(client: Client | None) -> BlockingClient | None:
    """Return a client for the session's threads, to the same Redis; a second call returns the same one."""
    if client is None:
        return None
    if not isinstance(client, Client):
        raise TypeError(
            f"client must be a redis.asyncio.Redis, a redis.asyncio.RedisCluster or None, not {type(client).__name__}"
        )
    found = _blocking_clients.get(client)
    if found is None:
        found = _blocking_clients[client] = _made_blocking(client)
    return found


def _made_blocking(client: Client) -> redis.Redis:
    if isinstance(client, redis.asyncio.RedisCluster):
        node, *_ = client.nodes_manager.startup_nodes.values()  # the session finds out that this node is of a Cluster
        taken = inspect.signature(redis.Redis).parameters.keys() - {"host", "port", "retry"}
        options = {name: each for name, each in client.connection_kwargs.items() if name in taken}
        return redis.Redis(node.host, int(node.port), **options)
    pool = client.connection_pool
    connection_class = CONNECTIONS.get(pool.connection_class)
    if connection_class is None:
        raise TypeError(f"client connects by {pool.connection_class.__name__}: pass one made by from_url")
    options = {name: each for name, each in pool.connection_kwargs.items() if name not in OF_ASYNCIO}
    return redis.Redis(connection_pool=redis.ConnectionPool(connection_class=connection_class, **options))


Opened: TypeAlias = tuple[AsyncGenerator[Client, None], Client]
Loops: TypeAlias = weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Opened]
_open: weakref.WeakKeyDictionary[Wire, Loops] = weakref.WeakKeyDictionary()


async def _client_of(session: Session, source: Client | None) -> Client:
    """Return the client of this loop, which has a few connections.

    There are only a few, because a thousand coroutines that ask at once must not exhaust the connections of the server.
    """
    loops = _open.setdefault(session.wire, weakref.WeakKeyDictionary())
    loop = asyncio.get_running_loop()
    if loop not in loops:
        opened = _opened(session.wire, source)
        loops[loop] = opened, await opened.asend(None)  # never suspends, so no other coroutine opens one meanwhile
    return loops[loop][1]


async def _opened(wire: Wire, source: Client | None) -> AsyncGenerator[Client, None]:
    """Yield a client and close it when the loop ends: asyncio.run ends all asynchronous generators then."""
    client = _made(wire, source)
    try:
        yield client
    finally:
        await client.aclose()


def _made(wire: Wire, source: Client | None) -> Client:
    if isinstance(wire, ClusterWire):
        nodes = [redis.asyncio.cluster.ClusterNode(host, port) for host, port in wire.known]
        (server, *_) = wire.servers()
        taken = inspect.signature(redis.asyncio.RedisCluster).parameters.keys() - {"host", "port", "retry"}
        options = {name: each for name, each in server.connection_pool.connection_kwargs.items() if name in taken}
        options["max_connections"] = CONNECTIONS_MAX
        return redis.asyncio.RedisCluster(startup_nodes=nodes, **options)
    limits = {"max_connections": CONNECTIONS_MAX, "timeout": None}
    if isinstance(source, redis.asyncio.Redis):
        pool = source.connection_pool
        options = {**pool.connection_kwargs, **OURS, **limits}
        pool = redis.asyncio.BlockingConnectionPool(connection_class=pool.connection_class, **options)
    else:
        retry = redis.asyncio.retry.Retry(ExponentialBackoff(cap=0.5, base=0.05), 3)
        pool = redis.asyncio.BlockingConnectionPool.from_url(address.url(), retry=retry, **limits)
        pool.connection_kwargs.update(OURS)  # afterwards, because options in the URL go before arguments of from_url
    return redis.asyncio.Redis.from_pool(pool)
