"""Conditions that a coroutine of a test awaits."""

import asyncio


async def until(condition, within=60.0):
    """Await a condition; its value."""
    async with asyncio.timeout(within):
        while not (value := await condition()):
            await asyncio.sleep(0.005)
    return value


async def waiting(thing, many=1):
    async def all_wait():
        seen = await thing.statistics()
        waiters = seen.waiters if hasattr(seen, "waiters") else (*seen.getters, *seen.putters)
        return len(waiters) == many

    await until(all_wait)
