"""Work in a thread that a cancelled caller waits for: what writes to the cache is over before anything is closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

Result = TypeVar("Result")


async def in_thread(work: Callable[[], Result], executor: Executor | None = None) -> Result:
    """What `work` gives. When cancelled meanwhile, the cancellation comes after its end, and says nothing of how it ended."""
    future = asyncio.get_running_loop().run_in_executor(executor, work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait([future])
        if not future.cancelled():
            future.exception()  # looked at: asyncio would print the traceback of one that nobody has seen
        raise
