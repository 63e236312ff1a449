"""What coroutines of a task leave held is released when the task ends, wherever they ran."""

import asyncio

import pytest

import interlock
from interlock import aio


async def take(*locks):
    """Each by a coroutine of its own, as a task may start them."""
    await asyncio.gather(*(aio.Lock.of(lock).acquire() for lock in locks))


def test_locks_that_coroutines_leave_held_are_released_when_the_task_ends():
    locks = [interlock.Lock(), interlock.Lock()]
    with pytest.warns(ResourceWarning, match="ended holding"), interlock.acting_for("1", "work"):
        asyncio.run(take(*locks))
    assert [lock.acquire(blocking=False) for lock in locks] == [True, True]
    for lock in locks:
        lock.release()


def test_a_second_run_of_a_task_releases_nothing_of_the_first():
    """They have one id: the message was delivered again while the first run goes on."""
    lock = interlock.Lock()
    with pytest.warns(ResourceWarning, match="ended holding"), interlock.acting_for("1", "work"):
        asyncio.run(take(lock))
        with interlock.acting_for("1", "work"):
            pass
        assert lock.locked()
    assert not lock.locked()
