"""An asyncio server of a test, in a thread of its own, so that the test itself may block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

Serve = Callable[[threading.Event, asyncio.Event], Awaitable[None]]


@contextmanager
def server_thread(serve: Serve) -> Iterator[None]:
    """`serve(ready, stop)` sets `ready` once it listens, and returns when `stop` is set: at the end of the block."""
    ready = threading.Event()
    ends: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def main() -> None:
        stop = asyncio.Event()
        ends.append((asyncio.get_running_loop(), stop))
        await serve(ready, stop)

    thread = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield
    finally:
        loop, stop = ends[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
