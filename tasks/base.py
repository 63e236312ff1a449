"""The base of all tasks: arguments are checked where they enter, and what a task leaves locked is released."""

import inspect
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import celery
from kombu.exceptions import OperationalError

import interlock
from interlock import address
from tasks import awaiting, checks, exits
from tasks.description import description


class Task(celery.Task):  # type: ignore[misc]
    """A task whose arguments are checked in the producer, before anything is enqueued.

    `@app.task(check=...)` names a function with the task's own parameters, or some of them, that raises TypeError or
    ValueError. It runs when a signature is made, when the task is enqueued, and in the worker, for messages made
    elsewhere.

    It may be written as `async def`. The worker for queue `aio` runs a thousand such at once; on any other pool each
    has an event loop of its own. Called directly, it returns its coroutine, to be awaited.
    """

    abstract = True
    check: ClassVar[Callable[..., None] | None] = None
    max_retries = 3  # runs after a first one whose worker was lost; then the task fails
    default_retry_delay = 1  # seconds until such a run; Celery's default is three minutes

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "run" in vars(cls):
            cls.run = awaiting.with_awaited_body(vars(cls)["run"])

    def checked(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
        """The arguments by name, as they were given. Raises TypeError or ValueError if they are wrong."""
        signature = inspect.signature(self.run)
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}{signature}: {error}") from None
        check = type(self).check  # from the class: a plain function, not bound to the task
        if check is not None:
            complete = inspect.BoundArguments(signature, OrderedDict(bound.arguments))
            complete.apply_defaults()
            wanted = inspect.signature(check).parameters
            check(**{name: value for name, value in complete.arguments.items() if name in wanted})
        return bound

    def signature(self, args: Any = None, *starargs: Any, **starkwargs: Any) -> Any:
        """As Celery's, with the arguments checked, so that a group with a wrong member enqueues none.

        A chain may add one more argument in front: what is right with or without it is let through, and checked again
        when it is enqueued.
        """
        made = super().signature(args, *starargs, **starkwargs)
        try:
            self.checked(made.args, made.kwargs)
        except (TypeError, ValueError) as error:
            if made.immutable or not self._fits((checks.LATER, *made.args), made.kwargs):
                raise error from None
        return made

    def _fits(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        try:
            self.checked(args, kwargs)
        except (TypeError, ValueError):
            return False
        return True

    subtask = signature

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """As Celery's, with the arguments checked before anything is enqueued.

        Raises:
            TypeError: an argument is missing or of the wrong type.
            ValueError: an argument is out of its range.
            kombu.exceptions.OperationalError: Redis does not answer; heard of in about a second.
            interlock.InterlockError: what the caller wrote under a lock that lingers could not be committed.
        """
        call = self.checked(args or (), kwargs or {})
        interlock.flush()  # what the producer wrote under locks that linger is there when the task runs
        options = {"argsrepr": description(call), "kwargsrepr": "{}", **options}  # what Flower and logs show
        try:
            return super().apply_async(args, kwargs, **options)
        except OperationalError as error:
            reason = error.__cause__ or error
            raise OperationalError(address.unreachable(address.masked(address.url()), reason)) from error

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the body.

        Before its result is stored, locks that it leaves behind are released, and what it wrote under locks that linger
        is committed: if that fails, the task fails. (Celery's signal `task_postrun` comes too late, and hides errors.)
        What would end more than the task, as `sys.exit()` does, fails it: see `tasks.exits`.
        """
        request = self.request
        if request.called_directly:
            self.checked(args, kwargs)
            return super().__call__(*args, **kwargs)
        try:
            self.checked(args, kwargs)
            with interlock.acting_for(request.id, self.name), awaiting.executing():
                return super().__call__(*args, **kwargs)
        except BaseException as error:
            ending = exits.ending_of(error)
            if ending is not None:
                raise ending from None
            instead = exits.contained(error)
            if instead is None:
                raise
            raise instead from error
