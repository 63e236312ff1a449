"""Work that waits for other people's servers: queue `aio`, coroutines. Pages are fetched by aiohttp."""

from collections.abc import Sequence
from typing import Any

from tasks.celery_app import app, checks

URLS_MAX = 100
URL_MAX = 2_000  # characters


def _check(urls: Sequence[str]) -> None:
    if urls is checks.LATER:
        return
    if not isinstance(urls, list | tuple) or not all(isinstance(url, str) for url in urls):
        raise TypeError(f"urls must be a list of strings, not {str(urls)[:60]!r}")
    if len(urls) > URLS_MAX:
        raise ValueError(f"urls must be at most {URLS_MAX} URLs, not {len(urls):,}: share them out among several tasks")
    if any(len(url) > URL_MAX for url in urls):
        raise ValueError(f"urls must have at most {URL_MAX:,} characters each, not {max(map(len, urls)):,}")


@app.task(queue="aio", check=_check)
async def fetch_pages(urls: Sequence[str]) -> list[dict[str, Any]]:
    """Fetch pages, several at once, and say what came of each.

    The task sends GET requests by http and https, to public addresses and to those that INTERLOCK_FETCH_NETWORKS
    names. All machines together make at most INTERLOCK_FETCHES_PER_HOST requests at once to one host and port. The task
    follows redirects. It makes up to three attempts, with growing pauses, if a connection is refused or breaks, if an
    answer takes too long, or if the server answers 429, 502, 503 or 504. The server may ask for a pause of up to half a
    minute by Retry-After.

    Args:
        urls: up to 100. A bad URL is an entry of the result like any other.

    Returns:
        A dictionary for each URL, in their order: `url`; `final_url`, where redirects led; `status`; `content_type`;
        `size` in bytes and `sha256` of the body, after decompression; `seconds`, with all pauses; `attempts`; and
        `error`, None if the page was fetched, else a `message` of one line and its `kind`: bad url, refused address,
        unknown host, connect, tls, timeout, disconnected, redirects, too large, encoding, malformed, status (400 or
        more) or fault (ours). An unknown value is None.
    """
    # Not above: with aiohttp, a producer's import of `tasks` would take half as long again.
    from tasks.pages.fetching import fetcher

    return await (await fetcher()).fetch(urls)
