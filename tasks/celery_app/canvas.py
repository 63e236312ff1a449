"""Checks of several calls as a whole: of a group before its first member is sent, of a map before its first item.

Celery sends the members of a group one by one: it would find a wrong member after it has sent others.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from celery import canvas
from celery.exceptions import NotRegistered

from tasks.celery_app.schedule import refuse_wrong_times


def install() -> None:
    """Have `celery.group` check its members wherever it is sent from. The app calls this once."""
    send = canvas.group.apply_async

    @functools.wraps(send)
    def apply_async(self: Any, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        _check(self, args or (), kwargs or {}, options)
        return send(self, args, kwargs, **options)

    canvas.group.apply_async = apply_async


def _check(made: Any, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Raise TypeError or ValueError if a signature is wrong; of those that follow it, check the times alone."""
    if isinstance(made, canvas.group | canvas._chain | canvas._chord):
        options = {**made.options, **options}
        if made.args and not isinstance(made, canvas.group) and not made.immutable:
            args = (*args, *made.args)
        members = [canvas.maybe_signature(each, app=made.app) for each in made.tasks]
        if isinstance(made, canvas._chord):
            options["chord"] = made.body
        elif isinstance(made, canvas._chain):
            members, options["chain"] = members[:1], members[1:]
        for member in members:
            _check(member, args, kwargs, options)
        return
    args, kwargs, options = made._merge(args, kwargs, options)
    task = _task(made)
    if task is not None:
        task.checked(args, kwargs)
        refuse_wrong_times(options)


def _task(made: Any) -> Any:
    """Return the task of a signature, or None if this process does not know it, or it is none of ours."""
    try:
        return made.type if hasattr(made.type, "checked") else None
    except NotRegistered:
        return None


# --- maps ---


def _check_items(task: Any, items: Iterable[Any], arguments: Callable[[Any], Sequence[Any]]) -> None:
    called = _task(canvas.signature(task))
    for item in items if called is not None else ():
        called.checked(arguments(item), {})


def _listed(item: Any) -> Sequence[Any]:
    if not isinstance(item, list | tuple):
        raise TypeError(f"each item must be a list of arguments, not {item!r:.60}")
    return item


def _check_map(task: Any, it: Iterable[Any]) -> None:
    _check_items(task, it, lambda item: (item,))


def _check_starmap(task: Any, it: Iterable[Any]) -> None:
    _check_items(task, it, _listed)


CHECKS: Mapping[str, Callable[..., None]] = {
    "celery.map": _check_map,
    "celery.starmap": _check_starmap,
    "celery.chunks": _check_starmap,
}
"""The checks of Celery's own tasks, by name, like those of `@app.task(check=...)`."""
