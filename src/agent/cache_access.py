"""The agent's way to the cache database: read-only, off the event loop, reopened when the file is another one."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from agent.cached_read import CachedGet, CachedList, CachedRead
from configuration.errors import CacheBusy, CacheError

if TYPE_CHECKING:
    from cache.cache_reader import CacheReader, ClusterRow, Found, Page
    from cache.freshness import Freshness
    from cache.sql_guard import QueryResult

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Look:
    """What the cache knows about a scope before it is read. `problem` says why it cannot be used at all."""

    freshness: Freshness | None = None
    wanted_since: int = 0
    """Epoch second of the latest refresh request: what was checked before it is not new enough."""
    problem: CacheError | None = None


BUSY_PAUSE_SECONDS = 30.0
"""A reader waits long for a locked database; after one such wait the next reads do not wait again."""


class CacheAccess:
    """Opened on the first read. Each read is a snapshot of its own, in a thread."""

    def __init__(self, path: Path, *, timeout_seconds: float, clock: Callable[[], float]) -> None:
        self.path = path
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._reader: CacheReader | None = None
        self._busy: CacheBusy | None = None
        self._busy_until = 0.0

    async def look(self, cluster: str, read: CachedRead) -> Look:
        """The freshness of the scope, or why the database cannot be used."""
        try:
            freshness = await self._run(lambda reader: reader.freshness(cluster, read.kind, read.namespace))
            return Look(freshness, wanted_since=await self.requested_at(cluster, read.kind.name))
        except CacheError as error:
            return Look(problem=error)

    async def requested_at(self, cluster: str, kind: str) -> int:
        """When somebody, in any process, last asked for newer data of a kind than the cache had; 0 for never."""
        from cache.refresh_requests import latest_request

        return await asyncio.to_thread(latest_request, self.path, cluster=cluster, kind=kind) or 0

    async def page(self, cluster: str, read: CachedList, continue_token: str) -> Page:
        """Raises NeverScanned, Expired, or another CacheError."""
        query = replace(read.query, continue_token=continue_token)
        return await self._run(lambda reader: reader.list(cluster, query))

    async def get(self, cluster: str, read: CachedGet) -> Found:
        return await self._run(lambda reader: reader.get(cluster, read.kind, read.namespace, read.name))

    async def clusters(self) -> list[ClusterRow]:
        return await self._run(lambda reader: reader.clusters())

    async def api_server(self, cluster: str) -> str:
        """Address at which the cluster was scanned; "" when the cache does not say."""
        known = {row.cluster: row.api_server for row in await self.clusters()}
        return known.get(cluster, "")

    async def freshness_all(self, cluster: str) -> list[Freshness]:
        return await self._run(lambda reader: reader.freshness_all(cluster))

    async def query(self, sql: str, *, cluster: str) -> QueryResult:
        """Guarded SQL. Raises QueryRefused, NeverScanned or another CacheError."""
        from cache.sql_guard import QueryLimits, run_query

        await self.clusters()  # a locked database is noticed here, within the time limit
        limits = QueryLimits(timeout_seconds=self._timeout_seconds)
        return await asyncio.to_thread(run_query, self.path, sql, cluster=cluster, limits=limits, clock=self._clock)

    async def request_refresh(self, *, cluster: str, kind: str, reason: str) -> str:
        """Ask the scanner to look at a kind soon. Answers with why that was not possible, "" when it was."""
        from cache.refresh_requests import request_refresh

        try:
            async with asyncio.timeout(self._timeout_seconds):  # the thread waits on, and may still write it
                await asyncio.to_thread(
                    request_refresh, self.path, cluster=cluster, kind=kind, namespace=None, reason=reason, clock=self._clock
                )
        except TimeoutError:
            return str(self._held_up())
        except CacheError as error:
            return str(error)
        return ""

    def close(self) -> None:
        with self._lock:
            reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    async def _run(self, read: Callable[[CacheReader], T]) -> T:
        """In a thread, which cannot be stopped: one that waits for a lock too long is left behind to end by itself."""
        if self._busy is not None and time.monotonic() < self._busy_until:
            raise self._busy
        await asyncio.to_thread(_import_reader)  # the first import takes longer than a read, and is nobody's lock
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await asyncio.to_thread(self._read, read)
        except TimeoutError:
            raise self._held_up() from None
        except CacheBusy as error:
            raise self._held_up() from error

    def _held_up(self) -> CacheBusy:
        self._busy = CacheBusy(f"database {self.path} is held by another process for over {self._timeout_seconds:g} s")
        self._busy_until = time.monotonic() + BUSY_PAUSE_SECONDS
        return self._busy

    def _read(self, read: Callable[[CacheReader], T]) -> T:
        try:
            return read(self._open())
        except CacheError:
            # damaged, replaced or migrated meanwhile: the next read opens the file anew
            self.close()
            raise

    def _open(self) -> CacheReader:
        from cache.cache_reader import CacheReader

        with self._lock:
            if self._reader is None:
                self._reader = CacheReader(self.path, clock=self._clock)
            return self._reader


def _import_reader() -> None:
    import cache.cache_reader  # noqa: F401
