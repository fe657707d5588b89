"""What `scanner status` shows."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, select

from cache.engine import open_engine, require_readable, transaction
from cache.freshness import Freshness
from cache.freshness_rows import ClusterRow, read_clusters, read_freshness
from cache.scan_lock import lock_holder
from cache.tables import ScannerModel
from configuration.errors import CacheMissing


@dataclass(frozen=True, slots=True)
class ScannerHeartbeat:
    """The scanner that last used the database; times are epoch seconds."""

    pid: int
    version: str
    mode: str
    started_at: int
    last_tick_at: int
    stopped_at: int | None


@dataclass(frozen=True, slots=True)
class KindStatus:
    """One (cluster, kind, scope); ages and TTL in seconds, null when there was no successful scan."""

    cluster: str
    kind: str
    scope: str
    age_seconds: int | None
    ttl_seconds: int
    fresh: bool
    complete: bool
    permitted: bool | None
    count: int
    error: str | None
    strategy: str
    duration_ms: int | None


@dataclass(frozen=True, slots=True)
class CacheStatus:
    """`holder` is the pid of the scanner that holds the lock now (0: unknown), null when none runs."""

    path: Path
    size_bytes: int
    holder: int | None
    heartbeat: ScannerHeartbeat | None
    clusters: tuple[ClusterRow, ...]
    kinds: tuple[KindStatus, ...]

    @property
    def healthy(self) -> bool:
        """Something was scanned, and all that may be read is fresh."""
        readable = [kind for kind in self.kinds if kind.permitted is not False]
        return bool(readable) and all(kind.fresh for kind in readable)


def cache_status(path: Path, *, clock: Callable[[], float] = time.time) -> CacheStatus:
    """Read it all in one snapshot. Raises CacheMissing, CacheCorrupt, CacheTooNew or CacheBusy."""
    now = clock()
    require_readable(path)
    with transaction(open_engine(path, read_only=True), path) as connection:
        heartbeat, clusters, rows = _heartbeat(connection), read_clusters(connection), read_freshness(connection)
    return CacheStatus(
        path=path,
        size_bytes=_size(path),
        holder=lock_holder(path),
        heartbeat=heartbeat,
        clusters=tuple(clusters),
        kinds=tuple(_kind_status(row, now) for row in rows),
    )


def _kind_status(row: Freshness, now: float) -> KindStatus:
    return KindStatus(
        cluster=row.cluster,
        kind=row.kind,
        scope=row.scope,
        age_seconds=row.age_seconds(now),
        ttl_seconds=row.ttl_seconds,
        fresh=row.is_fresh(now),
        complete=row.complete,
        permitted=row.permitted,
        count=row.item_count,
        error=row.last_error,
        strategy=row.strategy,
        duration_ms=row.duration_ms,
    )


def _heartbeat(connection: Connection) -> ScannerHeartbeat | None:
    model = ScannerModel
    columns = (model.pid, model.version, model.mode, model.started_at, model.last_tick_at, model.stopped_at)
    row = connection.execute(select(*columns)).first()
    return None if row is None else ScannerHeartbeat(*row)


def _size(path: Path) -> int:
    """The database with its log."""
    parts = [path, path.with_name(f"{path.name}-wal")]
    try:
        return sum(part.stat().st_size for part in parts if part.exists())
    except FileNotFoundError:
        raise CacheMissing(f"database {path} disappeared while being read") from None
