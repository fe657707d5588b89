"""The agent's way to the cache database: read-only, off the event loop, reopened when the file is another one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from agent.cached_read import CachedGet, CachedList, CachedRead
from configuration.errors import CacheError

if TYPE_CHECKING:
    from cache.cache_reader import CacheReader, ClusterRow, Found, Page
    from cache.sql_guard import QueryResult

    from cache.freshness import Freshness

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Look:
    """What the cache knows about a scope before it is read. `problem` says why it cannot be used at all."""

    freshness: Freshness | None = None
    problem: CacheError | None = None


class CacheAccess:
    """One reader, used by one thread at a time."""

    def __init__(self, path: Path, *, clock: Callable[[], float]) -> None:
        self.path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._reader: CacheReader | None = None
        self._file: tuple[int, int] | None = None

    async def look(self, cluster: str, read: CachedRead) -> Look:
        """The freshness of the scope, or why the database cannot be used."""
        try:
            return Look(await self._run(lambda reader: reader.freshness(cluster, read.kind, namespace=read.namespace)))
        except CacheError as error:
            return Look(problem=error)

    async def page(self, cluster: str, read: CachedList, continue_token: str) -> Page:
        """Raises NeverScanned, Expired, or another CacheError."""
        query = replace(read.query, continue_token=continue_token)
        return await self._run(lambda reader: reader.list(cluster, query))

    async def get(self, cluster: str, read: CachedGet) -> Found:
        return await self._run(lambda reader: reader.get(cluster, read.kind, read.namespace, read.name))

    async def clusters(self) -> list[ClusterRow]:
        return await self._run(lambda reader: reader.clusters())

    async def freshness_all(self, cluster: str) -> list[Freshness]:
        return await self._run(lambda reader: reader.freshness_all(cluster))

    async def query(self, sql: str, *, cluster: str, timeout_seconds: float) -> QueryResult:
        """Guarded SQL. Raises QueryRefused, NeverScanned or another CacheError."""
        from cache.sql_guard import QueryLimits, run_query

        limits = QueryLimits(seconds=timeout_seconds)
        return await asyncio.to_thread(run_query, self.path, sql, cluster=cluster, limits=limits, clock=self._clock)

    async def request_refresh(self, *, cluster: str, kind: str, reason: str) -> str:
        """Ask the scanner to look at a kind soon. Answers with why that was not possible, "" when it was."""
        from cache.refresh_requests import request_refresh

        try:
            await asyncio.to_thread(
                request_refresh, self.path, cluster=cluster, kind=kind, namespace=None, reason=reason, clock=self._clock
            )
        except CacheError as error:
            return str(error)
        return ""

    def close(self) -> None:
        with self._lock:
            self._close()

    async def _run(self, read: Callable[[CacheReader], T]) -> T:
        return await asyncio.to_thread(self._locked, read)

    def _locked(self, read: Callable[[CacheReader], T]) -> T:
        with self._lock:
            try:
                return read(self._current_reader())
            except CacheError:
                # A damaged or replaced file: the next read opens it anew.
                self._close()
                raise

    def _current_reader(self) -> CacheReader:
        """The scanner may move a corrupt database aside and start another under the same name."""
        from cache.cache_reader import CacheReader

        file = _identity(self.path)
        if self._reader is None or file != self._file:
            self._close()
            self._reader, self._file = CacheReader(self.path, clock=self._clock), file
        return self._reader

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
