"""The base of all tasks: it checks arguments where they enter, and releases what a task leaves locked."""

import asyncio
import inspect
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar

import celery
from celery.exceptions import Reject
from kombu.exceptions import OperationalError

import interlock
from interlock import address
from interlock._session.process import commit
from tasks.celery_app import awaiting, canvas, checks, exits, message, results
from tasks.celery_app.description import description
from tasks.celery_app.outage import heals
from tasks.celery_app.unique import HEADER, Claim, claiming, key_of


class Task(celery.Task):  # type: ignore[misc]
    """A task whose arguments are checked in the producer, before anything is enqueued.

    `@app.task(check=...)` names a function with some or all of the task's parameters, which raises TypeError or
    ValueError. It runs when a signature is made, when the task or a group with it is enqueued, and again in the worker,
    for messages made elsewhere.

    `@app.task(queue="io")` says which queue it belongs on: `cpu`, `io` or `aio`.

    A task may be written as `async def`. The worker for queue `aio` runs a thousand of them at once; on any other pool
    each has an event loop of its own. A call of such a task as a function returns its coroutine.
    """

    abstract = True
    check: ClassVar[Callable[..., None] | None] = None
    declared_queue: ClassVar[str | None] = None  # not `queue`: Celery warns of that attribute, and Celery 6 ignores it
    max_retries = 3  # runs after the first, if a worker is lost; then the task fails
    default_retry_delay = 1  # seconds before such a run; Celery's default is three minutes

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "queue" in vars(cls):
            cls.declared_queue = vars(cls)["queue"]
            del cls.queue
        if "run" in vars(cls):
            cls.run = awaiting.with_awaited_body(vars(cls)["run"])

    def bound(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
        """Return the given arguments by name. Raises TypeError if one is missing or one too many."""
        signature = _signature(self.run)
        try:
            return signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}{signature}: {error}") from None

    def checked(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
        """Return the given arguments by name. Raises TypeError or ValueError if they are wrong."""
        bound = self.bound(args, kwargs)
        check = type(self).check or canvas.CHECKS.get(self.name)  # read from the class: so it is not bound to the task
        if check is not None:
            complete = inspect.BoundArguments(bound.signature, OrderedDict(bound.arguments))
            complete.apply_defaults()
            wanted = _signature(check).parameters
            check(**{name: value for name, value in complete.arguments.items() if name in wanted})
        return bound

    def signature(self, args: Any = None, *starargs: Any, **starkwargs: Any) -> Any:
        """Make a signature, as Celery does, and refuse one that no further argument could make right.

        So a group with such a signature enqueues no member. A signature may be completed later: a chain, a link or
        `delay` adds arguments in front or by name. The complete one is checked when it is enqueued.

        Raises:
            TypeError, ValueError: an argument is wrong or one too many; in an immutable signature, or one is missing.
        """
        made = super().signature(args, *starargs, **starkwargs)
        try:
            self.checked(made.args, made.kwargs)
        except (TypeError, ValueError) as error:
            if made.immutable or self._hopeless(made.args, made.kwargs):
                raise error from None
        return made

    def _hopeless(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        """Whether the arguments are wrong, whatever is added in front. A named argument may still be replaced."""
        signature = _signature(self.run)
        for added in range(len(signature.parameters) + 1):
            try:
                bound = signature.bind_partial(*[checks.LATER] * added, *args, **dict.fromkeys(kwargs, checks.LATER))
            except TypeError:  # too many arguments: more would not help
                return True
            if self._may_be_right(bound):
                return False
        return True

    def _may_be_right(self, bound: inspect.BoundArguments) -> bool:
        """Whether the check accepts the arguments so far; also true if the check does not know LATER."""
        check = type(self).check
        if check is None:
            return True
        wanted = _signature(check).parameters
        if _refuses(check, dict.fromkeys(wanted, checks.LATER)):
            return True
        return not _refuses(check, {name: bound.arguments.get(name, checks.LATER) for name in wanted})

    subtask = signature

    def apply_async(self, args: Any = None, kwargs: Any = None, *, unique: str | None = None, **options: Any) -> Any:
        """Enqueue the task, as Celery does, after a check of its arguments.

        Args:
            args: its arguments.
            kwargs: its named arguments.
            unique: a name, 1 to 200 characters. While a task of the same kind and the same name is queued or runs, this
                enqueues nothing, and returns the result of that one. The name is free again when the task has ended or
                is a dead letter, and in any case a day after it was due.
            **options: as Celery has them.

        Raises:
            TypeError: an argument is missing or of the wrong type.
            ValueError: an argument is out of its range.
            kombu.exceptions.EncodeError: an argument cannot be sent, such as a lock whose `client=` goes elsewhere.
            kombu.exceptions.OperationalError: Redis does not answer; raised within about a second.
            interlock.UnreachableError: what the caller wrote under a lock that lingers could not be committed.
        """
        call = self.checked(args or (), kwargs or {})
        commit()  # so the task sees what the producer wrote under locks that linger
        options = {"argsrepr": description(call), "kwargsrepr": "{}", **options}  # shown in Flower and in logs
        claim = self._claim(unique, options)
        try:
            with claiming(claim):
                result = super().apply_async(args, kwargs, **options)
            return result if claim is None or claim.holder is None else self.AsyncResult(claim.holder)
        except OperationalError as error:
            reason = error.__cause__ or error
            raise OperationalError(address.unreachable(address.masked(address.url()), reason)) from error

    def _claim(self, unique: str | None, options: dict[str, Any]) -> Claim | None:
        """Return the claim of a unique task, and add its key to the headers; None: the task is not unique."""
        if unique is None:
            return None
        if options.get("ignore_result", self.ignore_result):
            raise ValueError("a unique task needs a result, for its end frees its name: leave ignore_result out")
        claim = Claim(key_of(self.backend, self.name, unique))
        options["headers"] = {**(options.get("headers") or {}), HEADER: claim.key}
        return claim

    def signature_from_request(self, request: Any = None, *args: Any, **options: Any) -> Any:
        """Return the signature of a retry, as Celery does; that of a unique task still names its key."""
        key = getattr(self.request if request is None else request, HEADER, None)
        if key is not None:
            options["headers"] = {**(options.get("headers") or {}), HEADER: key}
        return super().signature_from_request(request, *args, **options)

    async def aapply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Enqueue the task from an event loop, as `apply_async` does, in a thread that blocks in the place of the loop.

        A wrong argument raises its error at once. If the caller is cancelled, the message may be sent all the same.

        Returns:
            A result for coroutines: `await result.aget(timeout=10)`.
        """
        self.checked(args or (), kwargs or {})
        caller = self.app.current_worker_task  # which the thread does not know
        if caller:
            options.setdefault("root_id", caller.request.root_id or caller.request.id)
            options.setdefault("parent_id", caller.request.id)

        def send() -> Any:
            with results.sent_unheard():
                return self.apply_async(args, kwargs, **options)

        return await asyncio.to_thread(send)

    async def adelay(self, *args: Any, **kwargs: Any) -> Any:
        """Enqueue the task with these arguments from an event loop: `result = await print_square.adelay(10)`."""
        return await self.aapply_async(args, kwargs)

    def retry(self, *args: Any, **options: Any) -> Any:
        """Retry the task, as Celery does, and fail with the reason if no retry can be sent.

        Raises:
            Exception: no such retry could ever be sent, for example because of a wrong argument, an unknown queue or a
                time too far ahead. The task fails with this error; Celery would drop the message without a result.
            celery.exceptions.Reject: Redis does not take the retry now. The message goes back to its queue.
        """
        try:
            return super().retry(*args, **options)
        except Reject as rejected:
            if not heals(rejected.reason):
                raise rejected.reason from None
            raise Reject(rejected.reason, requeue=True) from rejected.reason

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the body.

        Before Celery stores the result, this releases the locks that the body left behind, and commits what it wrote
        under locks that linger. If the commit fails, the task fails. (Celery's signal `task_postrun` comes too late,
        and hides errors.) An exception that would end more than the task, as `sys.exit()` raises, fails the task: see
        `tasks.celery_app.exits`.
        """
        request = self.request
        if request.called_directly:
            self.checked(args, kwargs)
            return super().__call__(*args, **kwargs)
        if message.runs_for(request):  # the task's body calls the task again, as a function
            self.push_request(id=None, called_directly=True)
            try:
                return self(*args, **kwargs)
            finally:
                self.pop_request()
        try:
            self.checked(args, kwargs)
            with (
                message.running(self, request),
                interlock.acting_for(request.id, self.name),
                awaiting.executing(),
            ):
                return super().__call__(*args, **kwargs)
        except BaseException as error:
            ending = exits.ending_of(error)
            if ending is not None:
                raise ending from None
            instead = exits.contained(error)
            if instead is None:
                raise
            raise instead from error


@lru_cache(maxsize=1000)
def _signature(function: Callable[..., Any]) -> inspect.Signature:
    """Return a function's signature: to make it anew takes longer than to encode a message."""
    return inspect.signature(function)


def _refuses(check: Callable[..., None], arguments: Mapping[str, Any]) -> bool:
    try:
        check(**arguments)
    except Exception:  # of any kind: a check may do anything with a LATER that it does not know
        return True
    return False
