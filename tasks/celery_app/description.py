"""The arguments of a call as people see them in Flower, logs and `status`: `counter=Value acf721d2…, times=2000`."""

import inspect
import reprlib
from typing import Any

from interlock._text import one_line

DESCRIPTION_MAX = 2000  # characters: each value is cut to 60, and a call has few values
NAME_MAX = 20  # characters: people give shorter names, generated names are longer


class _Brief(reprlib.Repr):
    """Cuts each value so that it fits on a line, and shows a primitive as its kind and its name."""

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
    """Return the arguments of a call on one line, each with its parameter's name."""
    brief = _Brief()
    words = ", ".join(f"{name}={brief.repr(value)}" for name, value in call.arguments.items())
    return one_line(f"({words})", DESCRIPTION_MAX)
