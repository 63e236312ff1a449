"""Pages fetched in the test's own process, with limits that suit a test."""

import asyncio
import dataclasses

from tasks.celery_app import environment
from tasks.pages.fetching import Fetcher, Limits

QUICK = Limits(
    allowed=environment.networks("127.0.0.1"),
    per_host=20,
    size=100_000,
    connect=3.0,
    request=3.0,
    task=30.0,
    attempts=2,
    backoff=0.05,
)


def limits(**changes):
    return dataclasses.replace(QUICK, **changes)


def fetch(*urls, resolver=None, **changes):
    async def main():
        async with Fetcher(limits(**changes), resolver) as made:
            return await made.fetch(urls)

    return asyncio.run(main())


def outcome(page):
    """The status, and the kind of error."""
    return page["status"], page["error"] and page["error"]["kind"]
