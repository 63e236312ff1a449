"""Text that others chose, reduced to its characters and made fit for one line.

A subclass of `str` decides itself how it is formatted, compared and encoded (`class N(str, Enum)` formats as `N.R`, and
not as its value). If a name were formatted in one place and encoded in another, it would be two names.
"""

# Characters of a label that people read. Redis stores it with each attempt, and it is no key.
LABEL_MAX = 200


def plain(text: str) -> str:
    """Return the characters of a text as a plain `str`, whatever a subclass makes of them."""
    return str.__str__(text)


def printable(text: str) -> str:
    """Return a text that any stream, page and JSON parser can hold: half of a surrogate pair is escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def one_line(text: str, most: int = LABEL_MAX) -> str:
    r"""Return a text as one short line of UTF-8 for people: what does not print is written as `\n` or `\x00`."""
    if not text.isprintable():  # ends of lines, control characters, halves of surrogate pairs
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:most])
    return text if len(text) <= most else f"{text[: most - 1]}…"


def described(error: BaseException) -> str:
    """Return an error for the log. The repr of redis-py's errors leaves out their text."""
    return f"{type(error).__name__}: {str(error).partition(' : <')[0]}"  # Sentinel adds how it was asked
