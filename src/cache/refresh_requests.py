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
    """Ask the scanner to look at a kind now; the request's id. It takes the place of an equal one that still waits.

    It gets an id of its own all the same: a scan that began before it, for the other one, does not serve it.

    Raises CacheMissing without a database, CacheError when this user may not write it.
    """
    require_database(path)
    with database_errors(path), closing(connect_writer(path)) as connection:
        require_current(connection, path)
        with immediate(connection):
            cursor = connection.execute(
                "INSERT INTO refresh_requests (cluster, kind, namespace, reason, requested_at) VALUES (?, ?, ?, ?, ?)",
                (cluster, kind, namespace, reason[:500], int(clock())),
            )
            number = int(cursor.lastrowid or 0)
            connection.execute(  # only now, or its id could be given out again
                "DELETE FROM refresh_requests WHERE served_at IS NULL AND cluster = ? AND kind = ? AND namespace IS ? AND id < ?",
                (cluster, kind, namespace, number),
            )
            return number


def latest_request(path: Path, *, cluster: str, kind: str) -> int | None:
    """When newer data of a kind than the cache then had was last asked for, served or not; None: never."""
    with database_errors(path), closing(connect_reader(path)) as connection:
        row = connection.execute(
            "SELECT max(requested_at) FROM refresh_requests WHERE cluster = ? AND kind = ?", (cluster, kind)
        ).fetchone()
    return row[0] if row else None
