"""The events that a worker sends of its tasks, fit to be shown: Flower answers 500 for half of a surrogate pair."""

from typing import Any

from celery.events.dispatcher import EventDispatcher


class Dispatcher(EventDispatcher):  # type: ignore[misc]
    """Sends events whose texts any page and any stream can hold.

    A result, an error or an argument may be the name of a file that is not UTF-8, which Python writes as halves of
    surrogate pairs. Events are for people: they show it escaped, as `say` does. The result itself stays as it is.
    """

    def send(self, type: str, **fields: Any) -> Any:
        """As Celery's."""
        return super().send(type, **{name: _printable(value) for name, value in fields.items()})


def _printable(value: Any) -> Any:
    if not isinstance(value, str) or value.isascii():
        return value
    return value.encode("utf-8", "backslashreplace").decode()
