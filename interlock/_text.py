"""Text that others chose: as characters alone, and made fit for one line.

A subclass of `str` says by itself how it is formatted, compared and encoded (`class N(str, Enum)` formats as `N.R`, and
not as its value). A name that enters such a text in one place and another in the next would be two names.
"""

LABEL_MAX = 200  # characters of a label that people read: it is stored with each attempt, and it is no key


def plain(text: str) -> str:
    """Return the characters of a text as a `str` and nothing more, whatever a subclass makes of them."""
    return str.__str__(text)


def one_line(text: str, most: int = LABEL_MAX) -> str:
    r"""Return a text as one short line of UTF-8 for people: what does not print is written as `\n` or `\x00`."""
    if not text.isprintable():  # ends of lines, control characters, halves of surrogate pairs
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:most])
    return text if len(text) <= most else f"{text[: most - 1]}…"


def described(error: BaseException) -> str:
    """Return an error for the log: redis-py's have a repr that leaves out their text."""
    return f"{type(error).__name__}: {str(error).partition(' : <')[0]}"  # Sentinel's go on with how it was asked
