"""How much of the past is kept: for CACHE_HISTORY_RETENTION, and no more of it than CACHE_HISTORY_MAX_MB."""

# ruff: noqa: S608  -- the names put into SQL are those of declared tables and columns; values are always bound
from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlalchemy import Connection, text

from cache.tables import Change, DeletedObject

logger = logging.getLogger(__name__)

Transaction = Callable[[], AbstractContextManager[Connection]]
BATCH = 500


@dataclass(frozen=True, slots=True)
class _HistoryTable:
    """`size` is an SQL expression: about how many bytes a row takes in the file, with its entries in the indexes."""

    name: str
    time: str
    size: str


def _text_size(*columns: str) -> str:
    return " + ".join(f"coalesce(length(CAST({column} AS BLOB)), 0)" for column in columns)


def _in_pages(row: str) -> str:
    """Rows do not cross pages: what is left of one stays empty, and a row larger than a page takes whole ones."""
    return f"CASE WHEN {row} < {_PAGE} THEN {_PAGE} / ({_PAGE} / ({row})) ELSE ({row} + {_PAGE} - 1) / {_PAGE} * {_PAGE} END"


_PAGE = 4096
_CHANGES = _HistoryTable(
    Change.__tablename__,
    "seen_at",
    f"{_text_size('namespace', 'name', 'field', 'old', 'new', 'resource_version', 'manager')} "
    f"+ 2 * ({_text_size('cluster', 'kind', 'uid')}) + 60",
)
_DELETED_ROW = (
    f"({_text_size('row', 'resource_version', 'cluster', 'kind', 'namespace', 'name', 'uid')} "
    "+ coalesce(length(manifest), 0) + 40)"
)
_DELETED = _HistoryTable(
    DeletedObject.__tablename__,
    "deleted_at",
    f"{_in_pages(_DELETED_ROW)} + 2 * ({_text_size('cluster', 'kind')}) + {_text_size('namespace', 'name', 'uid')} + 80",
)


def forget_beyond(read: Transaction, write: Transaction, limit_bytes: int) -> dict[str, int]:
    """Forget the oldest changes and deleted objects until both together are below the limit: rows by table.

    Sizes are estimates from the rows' lengths, read without keeping anybody from writing.
    """
    removed = {_CHANGES.name: 0, _DELETED.name: 0}
    with read() as connection:
        if _used_bytes(connection) <= limit_bytes:
            return removed  # the whole file is smaller
        excess = sum(_size(connection, table) for table in (_CHANGES, _DELETED)) - limit_bytes
    while excess > 0:
        with write() as connection:
            table = _older(connection)
            rows, size = _forget_oldest(connection, table, excess) if table else (0, 0)
        if table is None or not rows:
            break
        removed[table.name] += rows
        excess -= size
    if any(removed.values()):
        logger.info("history is larger than CACHE_HISTORY_MAX_MB: the oldest is forgotten (%s)", removed)
    return removed


def history_bytes(connection: Connection) -> int:
    """About how much of the file is history."""
    return sum(_size(connection, table) for table in (_CHANGES, _DELETED))


def _size(connection: Connection, table: _HistoryTable) -> int:
    return int(connection.execute(text(f"SELECT coalesce(sum({table.size}), 0) FROM {table.name}")).scalar_one())


def _used_bytes(connection: Connection) -> int:
    pages, free, size = (
        int(connection.execute(text(f"PRAGMA {name}")).scalar_one()) for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def _older(connection: Connection) -> _HistoryTable | None:
    """The table that holds the oldest entry."""
    oldest = [
        (at, table)
        for table in (_CHANGES, _DELETED)
        if (at := connection.execute(text(f"SELECT min({table.time}) FROM {table.name}")).scalar()) is not None
    ]
    return min(oldest, key=lambda found: found[0])[1] if oldest else None


def _forget_oldest(connection: Connection, table: _HistoryTable, excess: int) -> tuple[int, int]:
    """Delete some of the oldest rows of a table, up to this size: how many, and their size."""
    found = connection.execute(
        text(f"SELECT rowid, {table.size} FROM {table.name} ORDER BY {table.time}, rowid LIMIT {BATCH}")
    ).all()
    ids, size = [], 0
    for rowid, row_size in found:
        if size >= excess:
            break
        ids.append(rowid)
        size += row_size
    connection.execute(text(f"DELETE FROM {table.name} WHERE rowid = :id"), [{"id": rowid} for rowid in ids])
    return len(ids), size
