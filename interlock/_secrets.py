"""Secrets of the environment: a variable holds each, or the file that the variable `<NAME>_FILE` names.

A file keeps a secret out of `docker inspect`, of crash reports and of what child processes inherit.
"""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from interlock._text import one_line

SIZE_MAX = 65_536  # bytes of a file: a secret is one line


def secret(name: str, variables: Mapping[str, str] = os.environ) -> str | None:
    """Return a secret, or None if neither the variable nor its file is given. An empty variable counts as not given.

    A process reads each file once, at its first use, and drops the line end at the end of the file.

    Args:
        name: the variable's, without `_FILE`.
        variables: the environment.

    Raises:
        ValueError: both are given; the file cannot be read, is empty, or holds more than one line of UTF-8. The text
            of the error never shows what the file holds.
    """
    value, path = variables.get(name) or None, variables.get(f"{name}_FILE") or None
    if path is None:
        return value
    if value is not None:
        raise ValueError(f"{name} and {name}_FILE are both set: unset one of them")
    return _content(name, path)


def source(name: str, variables: Mapping[str, str] = os.environ) -> str | None:
    """Return the name of the variable that gives a secret, with or without `_FILE`; None if neither does."""
    return next((each for each in (name, f"{name}_FILE") if variables.get(each)), None)


@cache
def _content(name: str, path: str) -> str:
    where = f"{name}_FILE: {one_line(path)}"
    try:
        with Path(path).open("rb") as file:
            data = file.read(SIZE_MAX + 1)
    except (OSError, ValueError) as error:  # ValueError: a path that no system has
        reason = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"{where} cannot be read ({reason}): name a file that this user may read") from None
    data = data.removesuffix(b"\n").removesuffix(b"\r")
    if not data:
        raise ValueError(f"{where} is empty: write the secret into it")
    if len(data) > SIZE_MAX or any(byte in data for byte in b"\r\n\0"):
        raise ValueError(f"{where} must hold the secret as one line, and holds more")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{where} must hold text in UTF-8, and holds other bytes") from None
