"""The agent's only way to ask for a scan: a row that the scanner takes within seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from cache.connection import connect_reader, connect_writer, database_errors, immediate, require_database
from cache.migrations.runner import require_current


@dataclass(frozen=True, slots=True)
class RefreshRequest:
    """`kind` is a plural name; `namespace` None asks for the whole cluster; `requested_at` is epoch seconds."""

    id: int
    cluster: str
    kind: str
    namespace: str | None
    reason: str
    requested_at: int


def request_refresh(
    path: Path,
    *,
    cluster: str,
    kind: str,
    namespace: str | None = None,
    reason: str = "",
    clock: Callable[[], float] = time.time,
) -> int:
    """Ask the scanner to look at a kind now; the request's id. An equal request that still waits is not repeated.

    Raises CacheMissing without a database, CacheError when this user may not write it.
    """
    require_database(path)
    with database_errors(path), closing(connect_writer(path)) as connection:
        require_current(connection, path)
        with immediate(connection):
            waiting = connection.execute(
                "SELECT id FROM refresh_requests WHERE served_at IS NULL AND cluster = ? AND kind = ? AND namespace IS ?",
                (cluster, kind, namespace),
            ).fetchone()
            if waiting:
                # what was asked for is newer data than of this moment, which `latest_request` answers
                connection.execute("UPDATE refresh_requests SET requested_at = ? WHERE id = ?", (int(clock()), waiting[0]))
                return int(waiting[0])
            cursor = connection.execute(
                "INSERT INTO refresh_requests (cluster, kind, namespace, reason, requested_at) VALUES (?, ?, ?, ?, ?)",
                (cluster, kind, namespace, reason[:500], int(clock())),
            )
            return int(cursor.lastrowid or 0)


def latest_request(path: Path, *, cluster: str, kind: str) -> int | None:
    """When newer data of a kind than the cache then had was last asked for, served or not; None: never."""
    with database_errors(path), closing(connect_reader(path)) as connection:
        row = connection.execute(
            "SELECT max(requested_at) FROM refresh_requests WHERE cluster = ? AND kind = ?", (cluster, kind)
        ).fetchone()
    return row[0] if row else None
