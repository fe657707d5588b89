"""Work in a thread, and a caller that is cancelled meanwhile."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest

from scanner.uninterrupted import in_thread


async def test_a_cancelled_caller_waits_for_the_end_and_nobody_hears_how_it_ended() -> None:
    heard: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context["message"]))
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        may_end.wait(20)
        ended.set()
        raise OSError("the lock was given back")

    caller = asyncio.create_task(in_thread(work))
    await asyncio.to_thread(begun.wait, 20)
    caller.cancel()
    await asyncio.sleep(0)
    assert not caller.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert ended.is_set()
    gc.collect()
    assert heard == []


async def test_what_goes_wrong_is_raised_to_a_caller_that_is_still_there() -> None:
    def work() -> int:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        await in_thread(work)
    assert await in_thread(lambda: 1) == 1
