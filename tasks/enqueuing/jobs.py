"""The jobs of a batch: the arguments and the id of each, checked, with the position in every error."""

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from kombu import serialization

from tasks.celery_app.base import Task

ID_MAX = 200  # characters
NAME = re.compile(r"[\w.:@+-]{1,100}", re.ASCII)


class Job(NamedTuple):
    """One call of the task."""

    position: int
    id: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    call: inspect.BoundArguments


def checked_name(name: Any) -> str:
    """Return the name of a batch. Raises TypeError or ValueError if it is none."""
    if not isinstance(name, str):
        raise TypeError(f"name must be a text, not {name!r:.60}")
    if not NAME.fullmatch(name):
        raise ValueError(f"name must be 1 to 100 letters, digits and signs of . _ : @ + -, not {name!r:.60}")
    return name


def checked_task(task: Any) -> Task:
    """Return the task. Raises TypeError if it is none of the app's."""
    if not isinstance(task, Task):
        hint = (
            f": pass the task, and its arguments apart, as (task, [{task.args!r:.60}])" if _is_signature(task) else ""
        )
        raise TypeError(f"task must be a task, as tasks.print_square, not {task!r:.60}{hint}")
    return task


def _is_signature(task: Any) -> bool:
    return isinstance(task, Mapping) and "task" in task and hasattr(task, "args")


def jobs(task: Task, arguments: Any, ids: Any, name: str) -> Iterator[Job]:
    """Yield the jobs of a batch, each checked.

    If both `arguments` and `ids` are sequences, such as lists, each of their items is checked before this returns. The
    items of another iterable are checked one by one, for they can be read only once.

    Raises:
        TypeError, ValueError: an item or an id is wrong; of an iterable that is no sequence, while one iterates.
        kombu.exceptions.EncodeError: an argument cannot be sent.
    """
    for what, given in (("arguments", arguments), ("ids", () if ids is None else ids)):
        if not isinstance(given, Iterable) or isinstance(given, str | bytes | Mapping):
            raise TypeError(f"{what} must be an iterable with an item for each task, not {given!r:.60}")
    if not (isinstance(arguments, Sequence) and (ids is None or isinstance(ids, Sequence))):
        return _jobs(arguments, ids, name, task.checked)
    for job in _jobs(arguments, ids, name, task.checked):
        serialization.dumps((job.args, job.kwargs), task.serializer)  # raises EncodeError
    return _jobs(arguments, ids, name, task.bound)


def _jobs(arguments: Iterable[Any], ids: Iterable[Any] | None, name: str, bind: Any) -> Iterator[Job]:
    named = None if ids is None else iter(ids)
    nothing = object()
    position = -1
    for position, given in enumerate(arguments):
        args, kwargs = _parts(given, position)
        try:
            call = bind(args, kwargs)
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"arguments[{position}]: {error}") from None
        id = f"{name}-{position}" if named is None else next(named, nothing)
        if id is nothing:
            raise ValueError(f"ids must have an id for each task, not {position:,} ids for more tasks")
        yield Job(position, _checked_id(id, position), args, kwargs, call)
    if named is not None and next(named, nothing) is not nothing:
        raise ValueError(f"ids must have an id for each task, not more ids than the {position + 1:,} tasks")


def _parts(given: Any, position: int) -> tuple[Sequence[Any], Mapping[str, Any]]:
    if isinstance(given, tuple | list):
        return given, {}
    if isinstance(given, Mapping) and all(isinstance(key, str) for key in given):
        return (), given
    raise TypeError(
        f"arguments[{position}] must be a tuple of arguments, as (10,), or a dict of named ones, not {given!r:.60}"
    )


def _checked_id(id: Any, position: int) -> str:
    if not isinstance(id, str):
        raise TypeError(f"ids[{position}] must be a text, not {id!r:.60}")
    try:
        right = 0 < len(id) <= ID_MAX and bool(id.encode())
    except UnicodeEncodeError:
        right = False
    if not right:
        raise ValueError(f"ids[{position}] must be 1 to {ID_MAX} characters that UTF-8 can hold, not {id!r:.60}")
    return id
