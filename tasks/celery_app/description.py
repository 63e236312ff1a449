"""What a task is called with, for people: `counter=Value acf721d2…, times=2000`, in Flower, in logs and in `status`."""

import inspect
import reprlib
from typing import Any

from interlock._text import one_line

DESCRIPTION_MAX = 2000  # characters: a value is cut to 60, and a call has few
NAME_MAX = 20  # characters: names that people give are shorter, those that are made up are not


class _Brief(reprlib.Repr):
    """Values cut to what fits on a line; a primitive is its kind and its name."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 1
        self.maxlist = self.maxtuple = self.maxdict = 3
        self.maxstring = self.maxother = 60

    def repr1(self, x: Any, level: int) -> str:
        if type(x).__module__.partition(".")[0] == "interlock":
            return f"{type(x).__name__} {x.name if len(x.name) <= NAME_MAX else f'{x.name[:8]}…'}"
        return super().repr1(x, level)


def description(call: inspect.BoundArguments) -> str:
    """The arguments of a call on one line, each with its parameter's name."""
    brief = _Brief()
    words = ", ".join(f"{name}={brief.repr(value)}" for name, value in call.arguments.items())
    return one_line(f"({words})", DESCRIPTION_MAX)
