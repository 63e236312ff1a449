"""Pages by aiohttp: a limit per host over all machines, retries, capped sizes, public addresses only.

One `Fetcher`, with one `ClientSession`, serves all tasks of a worker's event loop, so that they reuse connections. Its
cookie jar keeps nothing, and it takes neither proxies nor passwords from the environment.
"""

import asyncio
import hashlib
import logging
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeAlias

import aiohttp
import redis
import tenacity
from aiohttp.abc import AbstractResolver
from yarl import URL

from interlock import InterlockError, LeaseLostError
from interlock.aio import Semaphore
from tasks.celery_app import environment
from tasks.celery_app.environment import Network
from tasks.pages import errors
from tasks.pages.errors import PageError
from tasks.pages.networks import sockets
from tasks.support.output import progress

log = logging.getLogger(__name__)

Page: TypeAlias = dict[str, Any]

MOVED = {301, 302, 303, 307, 308}
PERMITS_KEPT = 3600.0  # seconds that Redis remembers a host's limit
HOST = re.compile(r"[0-9A-Za-z._:-]{1,253}")  # a DNS name, or an address without a zone
NO_ANSWER: Page = dict.fromkeys(("final_url", "status", "content_type", "size", "sha256"))


@dataclass(frozen=True)
class Limits:
    """What a fetcher may do."""

    allowed: tuple[Network, ...] = ()  # networks, besides public addresses
    per_host: int = 4  # requests at once to one host and port, by all workers of all machines together
    per_task: int = 20  # pages that one task fetches at once
    connections: int = 200  # open at once in this worker: well below the usual 1,024 open files
    size: int = 10 * 2**20  # bytes of a body, after decompression
    connect: float = 5.0  # seconds
    request: float = 20.0  # seconds from the request to the last byte of its answer
    task: float = 240.0  # seconds for all pages of a task: a worker ends the task a little later
    attempts: int = 3
    backoff: float = 0.5  # seconds, at most, before the second attempt; then twice and four times as long
    redirects: int = 10


class Fetcher:
    """Fetches pages with one `ClientSession`. Use a fetcher in an `async with`, on one event loop."""

    def __init__(self, limits: Limits, resolver: AbstractResolver | None = None) -> None:
        self.limits = limits
        self._connections = asyncio.Semaphore(limits.connections)  # aiohttp's own counts waits as the server's time
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, socket_factory=sockets(limits.allowed), resolver=resolver),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "interlock", "Accept-Encoding": "gzip, deflate"},
            timeout=aiohttp.ClientTimeout(total=limits.request, sock_connect=limits.connect),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.session.close()

    async def fetch(self, urls: Sequence[str]) -> list[Page]:
        """Return all pages, in the order of their URLs, as `tasks.pages.fetch_pages` describes them.

        Raises:
            interlock.InterlockError: the fetcher cannot keep the limit per host, for Redis does not answer.
        """
        until = asyncio.get_running_loop().time() + self.limits.task
        gate = asyncio.Semaphore(self.limits.per_task)
        done = 0

        async def fetched(url: str) -> Page:
            nonlocal done
            page = await self._page(url, gate, until)
            done += 1
            progress(done, len(urls))
            return page

        pages = [asyncio.create_task(fetched(url)) for url in urls]
        try:
            return await asyncio.gather(*pages)
        finally:  # the task is revoked, or one page raised: the other pages end before this returns
            for page in pages:
                page.cancel()
            await asyncio.gather(*pages, return_exceptions=True)

    async def _page(self, url: str, gate: asyncio.Semaphore, until: float) -> Page:
        """Return one page, or why there is none."""
        began, attempts, answer, error = time.monotonic(), 0, dict(NO_ANSWER), None
        try:
            first = checked(url)
            async with asyncio.timeout_at(until), gate:
                async for attempt in self._attempts():
                    with attempt:
                        attempts, answer = attempt.retry_state.attempt_number, dict(NO_ANSWER)
                        await self._follow(first, answer)
        except TimeoutError:
            error = PageError("timeout", f"not done in the {self.limits.task:g} s that a task has for all its pages")
        except PageError as raised:
            error = raised
        except (InterlockError, redis.RedisError):
            raise
        except Exception:  # a fault of ours: it goes to the log, and spoils no other page
            log.exception("could not fetch %s", errors.line(url))
            error = PageError("fault", "an unforeseen error: the worker's log has it")
        told = error and {"kind": error.kind, "message": str(error)}
        return {"url": url, **answer, "seconds": time.monotonic() - began, "attempts": attempts, "error": told}

    def _attempts(self) -> tenacity.AsyncRetrying:
        jitter = tenacity.wait_random_exponential(multiplier=self.limits.backoff, max=errors.RETRY_AFTER_MAX)

        def pause(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            return max(jitter(state), (isinstance(error, PageError) and error.after) or 0.0)

        return tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(lambda error: isinstance(error, PageError) and error.passing),
            stop=tenacity.stop_after_attempt(self.limits.attempts),
            wait=pause,
            reraise=True,
        )

    async def _follow(self, url: URL, answer: Page) -> None:
        """Follow redirects to the page. Each request counts against the limit of its own host."""
        visited = [url]
        while True:
            async with self._permit(url), self._connections:
                target = await self._request(url, answer)
            if target is None:
                return
            if target in visited:
                raise PageError("redirects", f"redirects in a circle: to {target} again")
            if len(visited) > self.limits.redirects:
                raise PageError("redirects", f"more than {self.limits.redirects} redirects, the last to {target}")
            visited.append(url := target)

    async def _request(self, url: URL, answer: Page) -> URL | None:
        """Send one GET, and note the answer's facts. Returns where it redirects to, or None if it is the page."""
        try:
            async with self.session.get(url, allow_redirects=False) as response:
                kind = response.headers.get("Content-Type")
                answer.update(final_url=str(url), status=response.status, content_type=kind and errors.line(kind))
                if response.status in MOVED and "Location" in response.headers:
                    return redirected(url, response.headers["Location"])
                await self._read(response, answer)
                error = errors.of_status(response)
        except (aiohttp.ClientError, OSError, UnicodeError) as raised:
            raise errors.of(raised) from raised
        if error is not None:
            raise error
        return None

    async def _read(self, response: aiohttp.ClientResponse, answer: Page) -> None:
        """Read the decompressed body piece by piece, and keep only its size and digest."""
        most, size, digest = self.limits.size, 0, hashlib.sha256()
        if (response.content_length or 0) > most:
            response.close()
            raise PageError("too large", f"{response.content_length:,} bytes, where {most:,} are allowed")
        async for piece in response.content.iter_any():
            size += len(piece)
            if size > most:
                response.close()  # the server's body is read no further
                raise PageError("too large", f"more than the {most:,} bytes that are allowed")
            digest.update(piece)
        answer.update(size=size, sha256=digest.hexdigest())

    @asynccontextmanager
    async def _permit(self, url: URL) -> AsyncIterator[None]:
        """Hold one of the host's permits. The limit is part of its name: workers may get a new one one by one."""
        most = self.limits.per_host
        host = (url.raw_host or "").rstrip(".")
        permits = Semaphore(most, name=f"fetch {host}:{url.port}, {most} at once", ttl=PERMITS_KEPT)
        await permits.acquire()
        try:
            yield
        finally:
            try:
                await permits.release()
            except LeaseLostError as error:  # Redis was away for longer than a lease: one too many may have been in
                log.warning("the limit of %s was not kept: %s", host, error)


def checked(url: str | URL) -> URL:
    """Return a URL that may be fetched, without its fragment. Raises PageError for any other."""
    try:
        made = URL(url).with_fragment(None)
        host, port = made.raw_host, made.port
    except ValueError as error:
        raise PageError("bad url", f"not a URL: {error}") from None
    if made.scheme not in ("http", "https"):
        raise PageError(
            "bad url", f"only http:// and https:// are fetched, not {made.scheme or 'a URL without scheme'}"
        )
    if not port or not HOST.fullmatch(host or ""):
        raise PageError("bad url", "it names no host and port that there can be")
    if made.raw_user is not None or made.raw_password is not None:
        raise PageError("bad url", "no user and no password is sent: take them out of the URL")
    return made


def redirected(url: URL, location: str) -> URL:
    """Return the URL that a redirect leads to. Raises PageError if it may not be fetched."""
    try:
        return checked(url.join(URL(location)))
    except (ValueError, PageError) as error:
        raise PageError("redirects", f"redirects to what is not fetched: {error}") from None


_open: dict[asyncio.AbstractEventLoop, tuple[AsyncGenerator[Fetcher, None], Fetcher]] = {}


async def fetcher() -> Fetcher:
    """Return the fetcher of this worker's event loop. The first task to ask makes it."""
    loop = asyncio.get_running_loop()
    if loop not in _open:
        opened = _opened()
        _open[loop] = opened, await opened.asend(None)  # asend() suspends nobody: no other task opens one
    return _open[loop][1]


async def _opened() -> AsyncGenerator[Fetcher, None]:
    """Yield a fetcher, and close it when the loop ends: asynchronous generators are closed then."""
    env = environment.read()
    limits = Limits(
        allowed=env.fetch_networks,
        per_host=env.fetches_per_host,
        task=environment.WAITING_SHARE * env.task_seconds_max,
    )
    async with Fetcher(limits) as made:
        try:
            yield made
        finally:
            del _open[asyncio.get_running_loop()]
