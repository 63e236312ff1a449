"""A worker's events as text that can be shown: Flower answers 500 for half of a surrogate pair."""

from typing import Any

from celery.events.dispatcher import EventDispatcher

from interlock._text import printable


class Dispatcher(EventDispatcher):  # type: ignore[misc]
    """Sends events with texts that any page and any stream can hold.

    A result, an error or an argument may be a file's name that is not UTF-8: Python writes it with halves of surrogate
    pairs. Events are for people, so they escape the halves, as `say` does. The result itself stays as it is.
    """

    def send(self, type: str, **fields: Any) -> Any:
        """Send an event, as Celery does, with printable texts."""
        return super().send(type, **{name: _printable(value) for name, value in fields.items()})


def _printable(value: Any) -> Any:
    if not isinstance(value, str) or value.isascii():
        return value
    return printable(value)
