"""What `scanner status` shows."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, select

from cache.api_usage import HourlyUsage, read_usage
from cache.engine import open_engine, require_readable, transaction
from cache.freshness import Freshness
from cache.freshness_rows import ClusterRow, read_clusters, read_freshness
from cache.scan_lock import lock_holder
from cache.tables import ScannerModel
from configuration.errors import CacheMissing

DAEMON = "daemon"


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
class CacheStatus:
    """`holder` is the pid of the scanner that holds the lock now (0: unknown), null when none runs.

    `kinds` has a row for each (cluster, kind, scope) that a scan has tried.
    """

    path: Path
    size_bytes: int
    holder: int | None
    heartbeat: ScannerHeartbeat | None
    clusters: tuple[ClusterRow, ...]
    kinds: tuple[Freshness, ...]
    usage: Mapping[str, HourlyUsage]
    """By cluster: what the scanner asked of its API server in the last 60 minutes."""

    @property
    def daemon_died(self) -> bool:
        """A daemon was the last to scan, did not stop by itself, and does not hold the lock any more."""
        beat = self.heartbeat
        return self.holder is None and beat is not None and beat.mode == DAEMON and beat.stopped_at is None


def cache_status(path: Path, *, clock: Callable[[], float] = time.time) -> CacheStatus:
    """Read it all in one snapshot. Raises CacheMissing, CacheCorrupt, CacheTooNew or CacheBusy."""
    require_readable(path)
    with transaction(open_engine(path, read_only=True), path) as connection:
        heartbeat, clusters, rows = _heartbeat(connection), read_clusters(connection), read_freshness(connection)
        usage = read_usage(connection, clock())
    return CacheStatus(
        path=path,
        size_bytes=database_size(path),
        holder=lock_holder(path),
        heartbeat=heartbeat,
        clusters=tuple(clusters),
        kinds=tuple(rows),
        usage=usage,
    )


def _heartbeat(connection: Connection) -> ScannerHeartbeat | None:
    model = ScannerModel
    columns = (model.pid, model.version, model.mode, model.started_at, model.last_tick_at, model.stopped_at)
    row = connection.execute(select(*columns)).first()
    return None if row is None else ScannerHeartbeat(*row)


def database_size(path: Path) -> int:
    """The database with its log."""
    parts = [path, path.with_name(f"{path.name}-wal")]
    try:
        return sum(part.stat().st_size for part in parts if part.exists())
    except FileNotFoundError:
        raise CacheMissing(f"database {path} disappeared while being read") from None
