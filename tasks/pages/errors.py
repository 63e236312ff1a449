"""Why a page could not be fetched, in one line, and whether it is worth another attempt."""

import email.utils
import socket
import time
from http import HTTPStatus

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError

from tasks.pages.networks import RefusedAddressError

PASSING = {429, 502, 503, 504}  # statuses of a server that may answer better soon
MESSAGE_MAX = 200  # characters
RETRY_AFTER_MAX = 30.0  # seconds: who asks for more is not asked again by this task


class PageError(Exception):
    """What is wrong with a page.

    Args:
        kind: a word or two for programs: see `tasks.pages.fetch_pages`.
        message: one line for people.
        passing: whether another attempt may end better.
        after: seconds that the server asks to wait before it; None: it says nothing.
    """

    def __init__(self, kind: str, message: str, *, passing: bool = False, after: float | None = None) -> None:
        super().__init__(line(message))
        self.kind, self.passing, self.after = kind, passing, after


def line(text: str) -> str:
    """A text on one line, cut: parts of it may come from a server."""
    whole = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return whole if len(whole) <= MESSAGE_MAX else f"{whole[: MESSAGE_MAX - 1]}…"


def of(error: Exception) -> PageError:
    """What an error of aiohttp means for the page. Raises it again if it is none that a server or a URL can cause."""
    match error:
        case TimeoutError():
            return PageError("timeout", str(error) or "no whole answer within the time allowed", passing=True)
        case aiohttp.ClientConnectorDNSError():
            again = error.os_error.errno == socket.EAI_AGAIN
            return PageError("unknown host", f"{error.host} has no address: {error.os_error.strerror}", passing=again)
        case aiohttp.ClientSSLError():
            return PageError("tls", f"no trusted connection to {error.host}: {error.os_error}")
        case aiohttp.ClientConnectorError(os_error=RefusedAddressError() as refused):
            address = "" if error.host == refused.args[0] else f"{refused.args[0]}, "
            return PageError("refused address", f"{error.host} is {address}{refused}")
        case aiohttp.ClientConnectorError():
            return PageError("connect", f"no connection to {error.host}:{error.port}: {error.os_error}", passing=True)
        case aiohttp.ClientError(__cause__=ContentEncodingError() as cause):
            return PageError("encoding", f"the body cannot be decompressed: {cause.message}")
        case aiohttp.ClientPayloadError() | aiohttp.ClientConnectionError():
            return PageError("disconnected", f"the server ended the connection: {error}", passing=True)
        case aiohttp.InvalidURL() | UnicodeError():  # the latter from the codec of host names
            return PageError("bad url", f"it names no host that there can be: {error}")
        case aiohttp.ClientResponseError():
            return PageError("malformed", f"the answer is not HTTP: {error.message}")
        case aiohttp.ClientError():
            return PageError("malformed", f"{type(error).__name__}: {error}")
    raise error


def of_status(answer: aiohttp.ClientResponse) -> PageError | None:
    """What a status says of the page; None if it is there."""
    status = answer.status
    if status < HTTPStatus.BAD_REQUEST:
        return None
    after = retry_after(answer.headers.get("Retry-After", "")) if status in PASSING else None
    message = f"the server answered {status} {answer.reason or ''}"
    if after is not None and after > RETRY_AFTER_MAX:
        return PageError("status", f"{message}, and asks to wait {after:.0f} s")
    return PageError("status", message, passing=status in PASSING, after=after)


def retry_after(value: str) -> float | None:
    """The seconds that a header Retry-After asks for, as a number or as a date; None if it says neither."""
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
