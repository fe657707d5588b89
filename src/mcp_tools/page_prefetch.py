"""The next page of a bulk export, asked for while the present one is redacted and on its way.

The API server takes as long to make a page as we take to redact one; done one after the other, a scan takes twice as
long. A page ahead costs memory, so few are kept, each for a short time, and only for callers that read in bulk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import TypeVar

Result = TypeVar("Result")

MOST_PAGES = 4
KEPT_SECONDS = 20.0


class PagePrefetch:
    """Pages that were begun before they were asked for. Used from one event loop."""

    def __init__(self, *, most_pages: int = MOST_PAGES, kept_seconds: float = KEPT_SECONDS) -> None:
        self._most_pages = most_pages
        self._kept_seconds = kept_seconds
        self._begun: dict[Hashable, tuple[asyncio.Task[object], asyncio.TimerHandle]] = {}

    async def get(self, key: Hashable, read: Callable[[], Awaitable[Result]]) -> Result:
        """The page that was begun under this key, else a new one. Raises what reading it raised."""
        if key not in self._begun:
            return await read()
        task, forget = self._begun.pop(key)
        forget.cancel()  # a timer that still waits would hold the page
        return await task  # type: ignore[return-value]  # begun under the same key by the same kind of read

    def begin(self, key: Hashable, read: Callable[[], Awaitable[object]]) -> None:
        """Begin to read a page that will probably be asked for; does nothing when there are enough of them."""
        if key in self._begun or len(self._begun) >= self._most_pages:
            return
        task = asyncio.create_task(self._read(read))
        task.add_done_callback(_retrieved)
        forget = asyncio.get_running_loop().call_later(self._kept_seconds, self._forget, key)
        self._begun[key] = task, forget

    @staticmethod
    async def _read(read: Callable[[], Awaitable[object]]) -> object:
        return await read()

    def _forget(self, key: Hashable) -> None:
        task, _ = self._begun.pop(key)
        task.cancel()


def _retrieved(task: asyncio.Task[object]) -> None:
    """A page that failed and that nobody asks for is nobody's trouble."""
    if not task.cancelled():
        task.exception()
