"""The staging of one scan, in a thread of its own: parsing and storing a page while the next one is on its way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

import msgspec

from cache.staging import Staging
from cache.swap import ScanOutcome
from kinds.kind import Kind
from mcp_tools.collector_pause import collector_paused
from scanner.resource_parser import ParsedPage, parse_objects
from scanner.uninterrupted import in_thread

Result = TypeVar("Result")


class PageStore:
    """Async context manager around the cache's staging. Leaving it without `finish` discards every page.

    SQLite work of one scan happens in one thread. A cancelled scan waits for what that thread is doing, so that
    nothing writes after it has left.
    """

    def __init__(self, begin: Callable[[], Staging], kind: Kind) -> None:
        self._begin = begin
        self._kind = kind
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"scan-{kind.name}")
        self._staging: Staging | None = None

    async def __aenter__(self) -> PageStore:
        try:
            self._staging = await self._in_thread(lambda: self._begin().__enter__())
        except BaseException:
            self._thread.shutdown(wait=False)
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            staging = self._entered()
            await self._in_thread(lambda: staging.__exit__(kind, error, trace))
        finally:
            self._thread.shutdown(wait=False)

    async def add(self, objects: Sequence[msgspec.Raw], managers: Sequence[str | None] = ()) -> ParsedPage:
        """Parse and stage one page."""
        return await self._in_thread(lambda: self._parse_and_add(objects, managers))

    async def finish(self, *, resource_version: str, malformed: int, duration_ms: int) -> ScanOutcome:
        """Make the staged list the cache's content, in one transaction. After the last page only."""
        staging = self._entered()
        return await self._in_thread(
            lambda: staging.finish(resource_version=resource_version, malformed=malformed, duration_ms=duration_ms)
        )

    def _parse_and_add(self, objects: Sequence[msgspec.Raw], managers: Sequence[str | None]) -> ParsedPage:
        with collector_paused():  # until most of what the page became is gone again
            page = parse_objects(objects, self._kind, managers)
            self._entered().add(page.staged)
        self._entered().keep([one.uid for one in page.malformed if one.uid and one.staged is None])
        return page

    def _entered(self) -> Staging:
        if self._staging is None:
            raise RuntimeError("PageStore is used inside its async with block only")
        return self._staging

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await in_thread(work, self._thread)
