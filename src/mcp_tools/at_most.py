"""Many small requests, a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

AT_ONCE = 8


async def at_most(items: Sequence[Item], do: Callable[[Item], Awaitable[Result]], *, count: int = AT_ONCE) -> list[Result]:
    """Do it for all of them; results in the order of the items. The first exception is raised, after the others were ended."""
    free = asyncio.Semaphore(count)

    async def one(item: Item) -> Result:
        async with free:
            return await do(item)

    tasks = [asyncio.create_task(one(item)) for item in items]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
