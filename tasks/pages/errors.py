"""Why a page could not be fetched, in one line, and whether it is worth another attempt."""

import email.utils
import socket
import time
from http import HTTPStatus

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError

from tasks.pages.networks import RefusedAddressError

PASSING = {429, 502, 503, 504}  # statuses of a server that may soon answer better
MESSAGE_MAX = 200  # characters
RETRY_AFTER_MAX = 30.0  # seconds: this task does not ask a server again that wants a longer pause


class PageError(Exception):
    """What is wrong with a page.

    Args:
        kind: a word or two for programs: see `tasks.pages.fetch_pages`.
        message: one line for people.
        passing: whether another attempt may succeed.
        after: seconds that the server asks to wait before the next attempt; None: it does not ask.
    """

    def __init__(self, kind: str, message: str, *, passing: bool = False, after: float | None = None) -> None:
        super().__init__(line(message))
        self.kind, self.passing, self.after = kind, passing, after


def line(text: str) -> str:
    """Return a text as one line, cut to MESSAGE_MAX characters: parts of it may come from a server."""
    whole = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return whole if len(whole) <= MESSAGE_MAX else f"{whole[: MESSAGE_MAX - 1]}…"


def of(error: Exception) -> PageError:
    """Return what an error of aiohttp means for the page. Raises an error again that no server and no URL can cause."""
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
        case aiohttp.InvalidURL() | UnicodeError():  # UnicodeError: from the codec of host names
            return PageError("bad url", f"it names no host that there can be: {error}")
        case aiohttp.ClientResponseError():
            return PageError("malformed", f"the answer is not HTTP: {error.message}")
        case aiohttp.ClientError():
            return PageError("malformed", f"{type(error).__name__}: {error}")
    raise error


def of_status(answer: aiohttp.ClientResponse) -> PageError | None:
    """Return the error that the status of an answer means, or None if the page was fetched."""
    status = answer.status
    if status < HTTPStatus.BAD_REQUEST:
        return None
    after = retry_after(answer.headers.get("Retry-After", "")) if status in PASSING else None
    message = f"the server answered {status} {answer.reason or ''}"
    if after is not None and after > RETRY_AFTER_MAX:
        return PageError("status", f"{message}, and asks to wait {after:.0f} s")
    return PageError("status", message, passing=status in PASSING, after=after)


def retry_after(value: str) -> float | None:
    """Return the seconds that a header Retry-After asks for, by a number or by a date; None if it holds neither."""
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
